/* Fork, exec, and signals that come late. */
#include "harness.h"

#include <stdatomic.h>

extern char **environ;
static pid_t target;

static void send_number(void *arg)
{
	int fd = make_memfd(*(long *)arg);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
}

static void from_child(long number)
{
	struct child sender = fork_child(send_number, &number);
	child_join(&sender);
}

/* --- a forked child and the inbox of its parent ----------------------------------------------- */
static sendfd_inbox *inherited;

static void has_nothing_of_it(void *arg)
{
	int mine = *(int *)arg; /* descriptors of the parent before it opened the inbox */
	CHECK_EQ(count_fds(), mine + 2);
	siginfo_t si = {.si_signo = S, .si_code = POLL_IN};
	struct signalfd_siginfo ssi = {.ssi_signo = S, .ssi_code = POLL_IN};
	int fd = -7;
	CHECK_ERR(sendfd_inbox_fileno(inherited), EPERM);
	CHECK_ERR(sendfd_recv(inherited, NULL, NULL), EPERM);
	CHECK_ERR(sendfd_recvs(inherited, &fd, 1, NULL, 0, NULL, NULL), EPERM);
	CHECK_ERR(sendfd_claim(inherited, &si, NULL), EPERM);
	CHECK_ERR(sendfd_claim_signalfd(inherited, &ssi, NULL), EPERM);
	/* an inbox of its own, beside it */
	sendfd_inbox *own = open_inbox(S, 0);
	fd = make_memfd(50);
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
	expect_number(own, 50);
	fd = make_memfd(51);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
	sendfd_inbox_close(inherited);
	fd = make_memfd(52);
	CHECK_OK(sendfd(getpid(), S, fd)); /* closing the inherited one did no harm */
	close(fd);
	expect_number(own, 52);
	sendfd_inbox_close(own);
	CHECK(!pending(S));
}

TEST(a_forked_child_has_no_inbox)
{
	target = getpid();
	for (unsigned flags = 0; flags < 4; flags++) {
		forget_dead_links();
		int before = count_fds();
		inherited = open_inbox(S, flags);
		from_child(1);
		from_child(2);
		expect_number(inherited, 1); /* one link accepted, one not */
		struct child child = fork_child(has_nothing_of_it, &before);
		child_join(&child);
		expect_number(inherited, 2);
		expect_number(inherited, 51);
		from_child(3);
		expect_number(inherited, 3);
		expect_empty(inherited);
		sendfd_inbox_close(inherited);
	}
}

static void forks_raw(void)
{
	int parents_count = count_fds();
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK_ERR(sendfd_recv(inherited, NULL, NULL), EPERM);
		CHECK_ERR(sendfd_inbox_fileno(inherited), EPERM);
		CHECK(count_fds() < parents_count, "the first call closes what was inherited");
		sendfd_inbox_close(inherited);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

TEST(a_raw_clone_has_no_inbox)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		inherited = open_inbox(S, flags);
		from_child(1);
		from_child(2);
		expect_number(inherited, 1);
		forks_raw();
		expect_number(inherited, 2);
		from_child(3);
		expect_number(inherited, 3);
		sendfd_inbox_close(inherited);
	}
}

static void sends_on_inherited_link(void *arg)
{
	(void)arg;
	long n = 61;
	send_number(&n);
}

/* A child of a sender makes a link of its own: the receiver sees the child's pid. */
TEST(a_child_of_a_sender_is_its_own_sender)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	long n = 60;
	send_number(&n);
	expect_number(inbox, 60);
	struct child child = fork_child(sends_on_inherited_link, NULL);
	child_join(&child);
	send_number(&n);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 61);
	CHECK_EQ(info.pid, child.pid);
	take_number(recv_soon(inbox, &info), 60);
	CHECK_EQ(info.pid, getpid());
	sendfd_inbox_close(inbox);
}

static atomic_bool stop;
static void *sends(void *arg)
{
	(void)arg;
	int fd = make_memfd(1);
	while (!atomic_load(&stop)) {
		int result = sendfd(target, S, fd);
		CHECK(result == 0 || result == -EAGAIN, "%s", errno_name(-result));
	}
	close(fd);
	return NULL;
}

/* Children of a process whose other threads are in the middle of the library. */
TEST_LIMIT(forks_under_load, 60)
{
	pthread_t threads[3];
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	for (int i = 0; i < 3; i++)
		threads[i] = thread_start(sends, NULL);
	for (int i = 0; i < 200; i++) {
		from_child(2);
		for (bool found = false; !found;) {
			int fd = recv_soon(inbox, NULL);
			found = memfd_number(fd) == 2;
			close(fd);
		}
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		thread_join(threads[i]);
	sendfd_inbox_close(inbox);
}

/* --- exec and late signals -------------------------------------------------------------------- */
static void unblocks_and_lives(int sig)
{
	sigset_t set = set_of(sig, SIGIO, 0), none;
	sigemptyset(&none);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	struct timespec brief = in_ms(10);
	CHECK(ppoll(NULL, 0, &brief, &none) == 0);
}

/* The image that is run by exec below: `prog TEST` with this in its environment. */
__attribute__((constructor)) static void second_image(void)
{
	const char *sig = getenv("SENDFD_TEST_SECOND_IMAGE");
	if (!sig)
		return;
	unblocks_and_lives(atoi(sig));
	_exit(0);
}

static void execs(void *arg)
{
	char number[16], *args[] = {"image", NULL};
	unsigned flags = *(unsigned *)arg;
	sendfd_inbox *inbox = open_inbox(S, flags);
	target = getpid();
	from_child(1);
	expect_number(inbox, 1);
	long n = 2;
	for (int i = 0; i < 20; i++)
		send_number(&n);
	from_child(3);
	CHECK(pending(S) || (flags & SENDFD_INBOX_NOSIGNAL));
	snprintf(number, sizeof number, "%d", S);
	setenv("SENDFD_TEST_SECOND_IMAGE", number, 1);
	execve("/proc/self/exe", args, environ);
	CHECK(false, "execve");
}

TEST(exec_with_mail_pending)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			execs(&flags);
		CHECK(exited_well(pid), "flags %u", flags);
	}
}

static void floods_until_gone(void *arg)
{
	int fd = make_memfd(1), result;
	(void)arg;
	while ((result = sendfd(target, S, fd)) == 0 || result == -EAGAIN)
		;
	CHECK(result == -ECONNREFUSED || result == -ESRCH, "%s", errno_name(-result));
}

static void execs_under_fire(void *arg)
{
	char number[16], *args[] = {"image", NULL};
	(void)arg;
	open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	snprintf(number, sizeof number, "%d", S);
	setenv("SENDFD_TEST_SECOND_IMAGE", number, 1);
	execve("/proc/self/exe", args, environ);
}

TEST_LIMIT(exec_under_fire, 60)
{
	for (int i = 0; i < 50; i++) {
		struct child receiver = fork_child(execs_under_fire, NULL);
		child_hear(&receiver);
		target = receiver.pid;
		struct child sender = fork_child(floods_until_gone, NULL);
		child_tell(&receiver, 0);
		child_join(&receiver);
		child_join(&sender);
	}
}

/* The program unblocks the signal itself: with mail pending, and right after closing. */
TEST(unblocking_does_not_kill)
{
	target = getpid();
	uint64_t mask = mask_now();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_THREAD; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		from_child(1);
		unblocks_and_lives(S);
		expect_number(inbox, 1); /* the signal is lost, the mail is not */
		sigset_t set = set_of(S, SIGIO, 0);
		sigprocmask(SIG_BLOCK, &set, NULL);
		from_child(2);
		sendfd_inbox_close(inbox);
		CHECK(!pending(S) && !pending(SIGIO));
		unblocks_and_lives(S);
		sigqueue(getpid(), S, (union sigval){0}); /* a late one */
		kill(getpid(), SIGIO);
		CHECK(mask_now() == mask, "unblocked as before");
	}
}

static void on_signal(int sig) { (void)sig; }

/* What the program arranged stays: its mask, and a handler it installed. */
TEST(close_gives_the_mask_back)
{
	int combinations[][3] = {{0, 0, 0}, {S, 0, 0}, {SIGIO, 0, 0}, {S, SIGIO, 0}};
	struct sigaction action = {.sa_handler = on_signal}, now;
	CHECK(sigaction(S, &action, NULL) == 0);
	for (int i = 0; i < 4; i++) {
		sigset_t set = set_of(combinations[i][0], combinations[i][1], 0), all = set_of(S, SIGIO, S + 1, 0);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		sigprocmask(SIG_BLOCK, &set, NULL);
		uint64_t mask = mask_now();
		sendfd_inbox *one = open_inbox(S, 0), *two = open_inbox(S + 1, 0);
		CHECK((mask_now() & ~mask) || i == 3);
		sendfd_inbox_close(i % 2 ? two : one);
		sendfd_inbox_close(i % 2 ? one : two);
		CHECK(mask_now() == mask, "%llx, was %llx", (unsigned long long)mask_now(), (unsigned long long)mask);
	}
	CHECK(sigaction(S, NULL, &now) == 0 && now.sa_handler == on_signal);
}

TEST(every_descriptor_is_close_on_exec)
{
	bool before[4096];
	target = getpid();
	for (int fd = 0; fd < 4096; fd++)
		before[fd] = is_open(fd);
	sendfd_inbox *inbox = open_inbox(S, 0);
	from_child(1);
	long n = 2;
	send_number(&n);
	int got[2] = {recv_soon(inbox, NULL), recv_soon(inbox, NULL)};
	for (int fd = 0; fd < 4096; fd++)
		CHECK(before[fd] || !is_open(fd) || is_cloexec(fd), "%d", fd);
	close(got[0]);
	close(got[1]);
	sendfd_inbox_close(inbox);
}
