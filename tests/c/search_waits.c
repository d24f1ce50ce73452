/* A sender that looks for an inbox in another network namespace, by a directory that both have or by a pidfd. */
#include "harness.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/time.h>

#define NEEDS ROOT | NET_NAMESPACE | PIDFS | SECCOMP

static pid_t target;
static int pidfd;

static struct child elsewhere(void (*run)(void *))
{
	struct child child = fork_child(run, NULL);
	child_hear(&child);
	target = child.pid;
	return child;
}

static void try_to(void (*send)(void *))
{
	struct child child = fork_child(send, NULL);
	child_join(&child);
}

/* --- at a socket where too many wait ---------------------------------------------------------------------- */
static int attach(int socket_, bool listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "/mnt/sendfd.1.%lu.%d", (unsigned long)inode_of(getpid()), S);
	return (listens ? bind : connect)(socket_, (struct sockaddr *)&address, sizeof address);
}

static int new_socket(void) { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

static void has_no_room(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	int listener = new_socket(), waiting[64], count = 0;
	CHECK(attach(listener, true) == 0 && listen(listener, 0) == 0);
	while (attach(waiting[count] = new_socket(), false) == 0)
		CHECK(++count < 64);
	CHECK(errno == EAGAIN && count > 0);
	parent_tell(0);
	parent_hear();
	do
		close(waiting[count]);
	while (count-- > 0);
	close(listener);
	(void)arg;
}

static void on_signal(int sig) { (void)sig; }

static void waits_between_signals(void *arg)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	struct timespec limit = in_ms(500);
	refuse_call(SYS_setns, EPERM);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	CHECK_ERR(sendfds(target, S, NULL, 0, "x", 1, &limit), ETIMEDOUT);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	(void)arg;
}

static void waits_while_traced(void)
{
	struct timespec limit = in_ms(500);
	refuse_call(SYS_setns, EPERM);
	be_traced();
	mark();
	CHECK_ERR(sendfds(target, S, NULL, 0, "x", 1, &limit), ETIMEDOUT);
	mark();
	_exit(0);
}

#ifdef SYS_poll
#define POLL SYS_poll
#else
#define POLL SYS_ppoll
#endif

TEST_NEEDS(signals_do_not_end_the_wait, NEEDS)
{
	on_a_tmpfs("mode=755");
	struct child receiver = elsewhere(has_no_room);
	try_to(waits_between_signals);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

/* Between one attempt and the next; the first call that asks for events comes before them. */
TEST_NEEDS(it_sleeps, NEEDS | PTRACE)
{
	long others;
	on_a_tmpfs("mode=755");
	struct child receiver = elsewhere(has_no_room);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		waits_while_traced();
	long polls = trace_calls(pid, POLL, &others);
	CHECK(polls > 1, "%ld and %ld", polls, others);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

/* --- an inbox under the name that is given without pidfds ------------------------------------------------------ */
static void has_no_pidfds(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	refuse_call(SYS_pidfd_open, ENOSYS);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void may_not_go_there(void *arg)
{
	refuse_call(SYS_setns, EPERM);
	send_memfd(target, 8);
	(void)arg;
}

TEST_NEEDS(found_by_its_older_name, NEEDS)
{
	on_a_tmpfs("mode=755");
	struct child receiver = elsewhere(has_no_pidfds);
	try_to(may_not_go_there);
	child_join(&receiver);
}

/* --- a receiver that is known by a pidfd alone ------------------------------------------------------------------ */
static void has_no_directory(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void cannot_see_it(void *arg)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount("proc", "/proc", "proc", 0, NULL) == 0);
	int fd = make_memfd(8);
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	close(fd);
	(void)arg;
}

TEST_NEEDS(found_by_the_network_of_a_pidfd, NEEDS | PID_NAMESPACE)
{
	on_a_tmpfs("mode=755");
	CHECK(setenv("SENDFD_DIR", "", 1) == 0);
	struct child receiver = elsewhere(has_no_directory);
	pidfd = my_pidfd_open(target);
	CHECK(pidfd >= 0 && unshare(CLONE_NEWPID) == 0);
	try_to(cannot_see_it);
	child_join(&receiver);
	close(pidfd);
}
