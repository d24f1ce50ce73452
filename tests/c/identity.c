/* Is the receiver the one that was meant? */
#include "harness.h"

#include <sched.h>
#include <sys/mount.h>

static pid_t target;

static void opens_and_waits(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	expect_number(inbox, parent_hear());
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(by_pidfd, PIDFD)
{
	struct child child = fork_child(opens_and_waits, NULL);
	child_hear(&child);
	int pidfd = my_pidfd_open(child.pid), fd = make_memfd(1);
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	close(fd);
	child_tell(&child, 1);
	child_hear(&child);
	fd = make_memfd(2); /* for nobody: it closes its inbox with this in it */
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	close(fd);
	child_tell(&child, 0);
	child_join(&child);
	CHECK_ERR(sendfd_pidfd(pidfd, S, 2), ESRCH);
	close(pidfd);
}

/* --- a dead receiver whose child lives on ------------------------------------------------------ */
/* The child never calls the library: only its descriptors, or the lack of them, can tell. */
static void dies_with_a_child(bool raw)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	(void)inbox;
	parent_tell(0);
	close(recv_soon(inbox, NULL)); /* one link is accepted */
	pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	parent_tell(pid);
	parent_hear();
	_exit(0); /* without closing */
}

static void dies_after_fork(void *arg)
{
	(void)arg;
	dies_with_a_child(false);
}

static void dies_after_clone(void *arg)
{
	(void)arg;
	dies_with_a_child(true);
}

static void never_met(void *arg)
{
	(void)arg;
	CHECK_ERR(sendfd(target, S, 2), ESRCH);
}

static void survivor_is_noticed(void (*receiver)(void *), bool reap)
{
	struct child child = fork_child(receiver, NULL);
	child_hear(&child);
	int fd = make_memfd(1);
	CHECK_OK(sendfd(child.pid, S, fd));
	pid_t survivor = (pid_t)child_hear(&child);
	target = child.pid;
	child_tell(&child, 0);
	siginfo_t si;
	CHECK(waitid(P_PID, (id_t)child.pid, &si, WEXITED | WNOWAIT) == 0);
	if (reap)
		child_join(&child);
	/* One that never sent to it, and one that keeps a link. The second may believe in a link that
	 * it used this moment; a raw clone holds its other end open. */
	struct child newcomer = fork_child(never_met, NULL);
	child_join(&newcomer);
	long limit = now_ms() + 5000;
	int result;
	while ((result = sendfd(target, S, fd)) == 0 && now_ms() < limit)
		poll(NULL, 0, 150);
	CHECK(result == -ESRCH, "%s", errno_name(-result));
	close(fd);
	kill(survivor, SIGKILL);
	if (!reap)
		child_join(&child);
}

TEST(a_dead_receiver_with_a_forked_child) { survivor_is_noticed(dies_after_fork, true); }
TEST(a_dead_receiver_with_a_raw_clone) { survivor_is_noticed(dies_after_clone, true); }
TEST(a_zombie_receiver_with_a_forked_child) { survivor_is_noticed(dies_after_fork, false); }
TEST(a_zombie_receiver_with_a_raw_clone) { survivor_is_noticed(dies_after_clone, false); }

/* However often it sends: a tenth of a second after the death at the latest, it is told. */
TEST(a_busy_sender_notices_a_dead_receiver)
{
	struct child child = fork_child(dies_after_clone, NULL);
	child_hear(&child);
	int fd = make_memfd(1);
	CHECK_OK(sendfd(child.pid, S, fd));
	pid_t survivor = (pid_t)child_hear(&child);
	child_tell(&child, 0);
	child_join(&child);
	long death = now_ms(), last = death;
	int result;
	while ((result = sendfd(child.pid, S, fd)) == 0 && last < death + 5000) {
		last = now_ms();
		poll(NULL, 0, 20); /* busier than it is patient */
	}
	close(fd);
	kill(survivor, SIGKILL);
	CHECK(result == -ESRCH, "%s", errno_name(-result));
	CHECK(last - death < 300 * (long)slower(), "sent to the dead for %ld ms", last - death);
}

/* --- a recycled pid ---------------------------------------------------------------------------- */
static bool next_pid_will_be(pid_t pid)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	char text[16];
	int n = snprintf(text, sizeof text, "%d", pid - 1);
	bool done = fd >= 0 && write(fd, text, (size_t)n) == n;
	close(fd);
	return done;
}

static void lies_still(void *arg)
{
	(void)arg;
	parent_tell(0);
	parent_hear();
}

/* KERNEL: /proc gives start times in hundredths of a second; with no pidfs there is nothing finer to
 * tell two processes of one number apart. */
static void let_start_times_differ(void)
{
	for (long began = now_ms(); now_ms() <= began + 1000 / sysconf(_SC_CLK_TCK);)
		poll(NULL, 0, 1);
}

static void recycles(void *arg)
{
	void (*receiver)(void *) = *(void (**)(void *))arg;
	/* with a /proc that shows the numbers of this namespace */
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	      mount("proc", "/proc", "proc", 0, NULL) == 0);
	struct child old = fork_child(receiver, NULL);
	child_hear(&old);
	int fd = make_memfd(1), pidfd = my_pidfd_open(old.pid);
	CHECK_OK(sendfd(old.pid, S, fd));
	pid_t survivor = (pid_t)child_hear(&old), pid = old.pid;
	child_tell(&old, 0);
	child_join(&old);
	let_start_times_differ();
	if (!next_pid_will_be(pid))
		SKIP("ns_last_pid cannot be written: %s", errno_name(errno));
	struct child heir = fork_child(lies_still, NULL);
	CHECK_EQ(heir.pid, pid);
	child_hear(&heir);
	/* The heir has no inbox. The name of the dead one may still be there, held by its child. */
	target = pid;
	long limit = now_ms() + 5000;
	int result;
	while ((result = sendfd(pid, S, fd)) == 0 && now_ms() < limit)
		poll(NULL, 0, 150);
	CHECK(result == -ECONNREFUSED, "%s", errno_name(-result));
	if (pidfd >= 0)
		CHECK_ERR(sendfd_pidfd(pidfd, S, fd), ESRCH);
	child_tell(&heir, 0);
	child_join(&heir);
	kill(survivor, SIGKILL);
}

static void recycle(void (*receiver)(void *))
{
	/* a pid namespace of its own: nobody else takes the number there */
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		/* KERNEL: without pidfs the numbers of two pid namespaces share one list of names */
		CHECK(unshare(CLONE_NEWPID | CLONE_NEWNET) == 0);
		/* the first of it reaps nobody: the survivor is killed with the namespace */
		struct child first = fork_child(recycles, &receiver);
		child_join(&first);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		_exit(77);
	CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST_NEEDS(a_recycled_pid_after_fork, ROOT | PID_NAMESPACE | NET_NAMESPACE) { recycle(dies_after_fork); }
TEST_NEEDS(a_recycled_pid_after_raw_clone, ROOT | PID_NAMESPACE | NET_NAMESPACE) { recycle(dies_after_clone); }

/* --- squatters --------------------------------------------------------------------------------- */
static void squats(void *arg)
{
	const char *name = arg;
	int listener = raw_listen(name), messages = 0;
	parent_tell(0);
	parent_hear();
	for (int link; (link = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		char bytes[64];
		messages += recv(link, bytes, sizeof bytes, 0) > 0;
		close(link);
	}
	CHECK_EQ(messages, 0);
}

static void victim(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0), *none = NULL;
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
	parent_tell(0);
	parent_hear();
	CHECK_ERR(sendfd_inbox_open(S, 0, &none), EADDRINUSE);
	CHECK(!none && !pending(S));
	parent_tell(0);
	parent_hear();
	inbox = open_inbox(S, 0); /* once the squatter is gone */
	sendfd_inbox_close(inbox);
}

TEST(a_squatter_gets_nothing)
{
	char name[64];
	struct child owner = fork_child(victim, NULL);
	child_hear(&owner);
	inbox_name(owner.pid, S, name, sizeof name);
	child_tell(&owner, 0);
	child_hear(&owner);
	struct child squatter = fork_child(squats, name);
	child_hear(&squatter);
	struct witness w = make_witness();
	for (int i = 0; i < 5; i++)
		CHECK_ERR(sendfd(owner.pid, S, w.sent), ECONNREFUSED);
	int pidfd = my_pidfd_open(owner.pid);
	if (pidfd >= 0) {
		CHECK_ERR(sendfd_pidfd(pidfd, S, w.sent), ECONNREFUSED);
		close(pidfd);
	}
	child_tell(&owner, 0);
	child_hear(&owner);
	child_tell(&squatter, 0);
	child_join(&squatter);
	close(w.sent);
	CHECK(witness_released(w.end, 5000));
	close(w.end);
	child_tell(&owner, 0);
	child_join(&owner);
}

/* --- other pid namespaces ---------------------------------------------------------------------- */
static int outer_pidfd;
static bool is_known_by_inode;
static void inner_sender(void *arg)
{
	(void)arg;
	int fd = make_memfd(9);
	CHECK_EQ(getpid(), 1);
	int result = sendfd_pidfd(outer_pidfd, S, fd); /* its number means nothing in here */
	CHECK(result == (is_known_by_inode ? 0 : -ESRCH), "%s", errno_name(-result));
}

static void inner_receiver(void *arg)
{
	(void)arg;
	CHECK_EQ(getpid(), 1);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	sendfd_info info = {.pid = -7};
	take_number(recv_soon(inbox, &info), 8);
	CHECK_EQ(info.pid, 0); /* not visible here: a value, no error */
	CHECK_EQ(info.uid, getuid());
	sendfd_inbox_close(inbox);
}

static struct child in_new_pid_namespace(void (*run)(void *))
{
	int back = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	CHECK(unshare(CLONE_NEWPID) == 0);
	struct child child = fork_child(run, NULL);
	CHECK(setns(back, CLONE_NEWPID) == 0);
	close(back);
	return child;
}

TEST_NEEDS(a_sender_from_an_inner_pid_namespace, ROOT | PIDFD | PID_NAMESPACE)
{
	is_known_by_inode = !what_is_missing(PIDFS);
	outer_pidfd = my_pidfd_open(getpid());
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = in_new_pid_namespace(inner_sender);
	child_join(&sender);
	sendfd_info info;
	if (is_known_by_inode) {
		take_number(recv_soon(inbox, &info), 9);
		CHECK_EQ(info.pid, sender.pid); /* as it is called out here */
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	close(outer_pidfd);
}

TEST_NEEDS(a_receiver_in_an_inner_pid_namespace, ROOT | PID_NAMESPACE | NET_NAMESPACE)
{
	CHECK(unshare(CLONE_NEWNET) == 0); /* see above */
	struct child receiver = in_new_pid_namespace(inner_receiver);
	child_hear(&receiver);
	send_memfd(receiver.pid, 8);
	child_join(&receiver);
}
