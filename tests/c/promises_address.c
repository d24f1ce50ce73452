/* Promises 1 to 6: how a process is addressed, how parcels are announced, who gets in. */
#include "harness.h"

#include <sched.h>
#include <sys/epoll.h>

static pid_t target;

static void send_numbers(void *arg)
{
	const long *range = arg;
	for (long n = range[0]; n < range[1]; n++) {
		send_memfd(target, n);
	}
}

/* The sender: a grandchild in its own session, handed to init, in another directory, with nothing
 * but three standard descriptors and a number. */
static void unrelated_sender(void *arg)
{
	long id = *(long *)arg;
	parent_hear();
	if (fork() != 0)
		_exit(0);
	CHECK(setsid() > 0 && chdir("/") == 0);
	CHECK(close_range(3, ~0u, 0) == 0);
	int fd = make_memfd(101);
	CHECK_OK(sendfd((pid_t)id, S, fd));
}

TEST(p01_addressed_by_pid_alone)
{
	long id = getpid();
	struct child sender = fork_child(unrelated_sender, &id);
	sendfd_inbox *inbox = open_inbox(S, 0);
	child_tell(&sender, 0);
	child_join(&sender);
	expect_number(inbox, 101);
	sendfd_inbox_close(inbox);
}

static void *tid_receiver(void *arg)
{
	int *pipes = arg;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	long tid = syscall(SYS_gettid);
	CHECK(write(pipes[1], &tid, sizeof tid) == sizeof tid);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 102);
	CHECK_EQ(info.pid, getpid());
	sendfd_inbox_close(inbox);
	return NULL;
}

TEST(p01_addressed_by_tid_alone)
{
	int p[2];
	long tid;
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	sendfd_inbox *process = open_inbox(S, 0);
	pthread_t thread = thread_start(tid_receiver, p);
	CHECK(read(p[0], &tid, sizeof tid) == sizeof tid);
	CHECK(tid != getpid());
	send_memfd((pid_t)tid, 102);
	thread_join(thread);
	expect_empty(process);
	while (syscall(SYS_tgkill, getpid(), tid, 0) == 0) /* joined, and not yet quite gone */
		sched_yield();
	CHECK_ERR(sendfd((pid_t)tid, S, 0), ESRCH);
	sendfd_inbox_close(process);
	close(p[0]);
	close(p[1]);
}

static void two_signals_sender(void *arg)
{
	(void)arg;
	int fd = make_memfd(0);
	CHECK_OK(sendfd(target, S + 2, fd));
	CHECK_OK(sendfd(target, S, fd));
	parent_tell(0);
	parent_hear();
	for (long n = 0; n < 5; n++) {
		int high = make_memfd(1200 + n), low = make_memfd(1000 + n);
		CHECK_OK(sendfd(target, S + 2, high));
		CHECK_OK(sendfd(target, S, low));
		close(high);
		close(low);
	}
	parent_tell(0);
	parent_hear(); /* its end would queue one more signal for each link */
}

/* From the second parcel of a link on there is exactly one signal for each. */
TEST(p02_one_signal_each_fifo_lower_numbers_first)
{
	static sendfd_inbox *low, *high; /* not in a register alone, which a checker of leaks would not know in the child */
	target = getpid();
	low = open_inbox(S, 0), high = open_inbox(S + 2, 0);
	struct child sender = fork_child(two_signals_sender, NULL);
	child_hear(&sender);
	expect_number(low, 0);
	expect_number(high, 0);
	sigset_t set = set_of(S, S + 2, SIGIO, 0);
	while (sigtimedwait(&set, NULL, &NOW) > 0)
		;
	child_tell(&sender, 0);
	child_hear(&sender);
	for (long n = 0; n < 10; n++) {
		siginfo_t si;
		sendfd_info info;
		int sig = sigtimedwait(&set, &si, &NOW);
		CHECK_EQ(sig, n < 5 ? S : S + 2);
		CHECK(si.si_code > 0, "the kernel queued it, si_code %d", si.si_code);
		int fd = CHECK_OK(sendfd_claim(n < 5 ? low : high, &si, &info));
		CHECK_EQ(info.signo, sig);
		take_number(fd, n < 5 ? 1000 + n : 1200 + n - 5);
	}
	CHECK(!pending(S) && !pending(S + 2) && !pending(SIGIO), "ten parcels, more than ten signals");
	child_tell(&sender, 0);
	child_join(&sender);
	siginfo_t si; /* the hang-ups announce nothing */
	while (sigtimedwait(&set, &si, &NOW) > 0)
		CHECK_ERR(sendfd_claim(si.si_signo == S ? low : high, &si, NULL), EAGAIN);
	expect_empty(low);
	expect_empty(high);
	sendfd_inbox_close(low);
	sendfd_inbox_close(high);
}


static void *p03_receiver(void *arg)
{
	int out = *(int *)arg, seen = 0;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	long tid = syscall(SYS_gettid);
	CHECK(write(out, &tid, sizeof tid) == sizeof tid);
	for (int i = 0; i < 3; i++) {
		int fd = recv_soon(inbox, NULL);
		seen |= 1 << memfd_number(fd);
		close(fd);
	}
	CHECK_EQ(seen, 7);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	return NULL;
}

static void p03_process(void *arg)
{
	(void)arg;
	int p[2];
	pthread_t threads[3];
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	for (int i = 0; i < 3; i++)
		threads[i] = thread_start(p03_receiver, &p[1]);
	for (int i = 0; i < 3; i++) {
		long tid;
		CHECK(read(p[0], &tid, sizeof tid) == sizeof tid);
		parent_tell(tid);
	}
	for (int i = 0; i < 3; i++)
		thread_join(threads[i]);
}

static long p03_tids[3];
static void *p03_sender(void *arg)
{
	int fd = make_memfd((long)(intptr_t)arg);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sendfd((pid_t)p03_tids[i], S, fd));
	close(fd);
	return NULL;
}

static void p03_senders(void *arg)
{
	pthread_t threads[3];
	(void)arg;
	for (intptr_t i = 0; i < 3; i++)
		threads[i] = thread_start(p03_sender, (void *)i);
	for (int i = 0; i < 3; i++)
		thread_join(threads[i]);
	/* The end of a link makes an inbox readable: not while they look whether theirs are empty. */
	parent_tell(1);
	parent_hear();
}

TEST(p03_any_thread_to_any_thread)
{
	struct child receivers = fork_child(p03_process, NULL);
	for (int i = 0; i < 3; i++)
		p03_tids[i] = child_hear(&receivers);
	struct child senders = fork_child(p03_senders, NULL);
	child_hear(&senders);
	child_join(&receivers);
	child_tell(&senders, 1);
	child_join(&senders);
}

TEST(p04_the_kernel_says_who_sent)
{
	target = getpid();
	long range[2] = {40, 41};
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child senders[3];
	for (int i = 0; i < 3; i++) {
		senders[i] = fork_child(send_numbers, range);
		sendfd_info info;
		take_number(recv_soon(inbox, &info), 40);
		CHECK_EQ(info.pid, senders[i].pid);
		CHECK_EQ(info.uid, getuid());
		CHECK_EQ(info.gid, getgid());
		CHECK_EQ(info.signo, S);
	}
	sendfd_inbox_close(inbox);
}

TEST(p05_sigtimedwait)
{
	target = getpid();
	long range[2] = {500, 600};
	sendfd_inbox *inbox = open_inbox(S, 0);
	fork_child(send_numbers, range);
	sigset_t set = set_of(S, SIGIO, 0);
	for (long n = 500; n < 600;) {
		siginfo_t si;
		struct timespec limit = in_ms(5000 * (long)slower());
		CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep at %ld", n);
		int fd = sendfd_claim(inbox, &si, NULL);
		CHECK(fd >= 0 || fd == -EAGAIN);
		if (fd >= 0)
			take_number(fd, n++);
	}
	sendfd_inbox_close(inbox);
}

TEST(p05_signalfd_in_epoll)
{
	target = getpid();
	long range[2] = {500, 600};
	sendfd_inbox *inbox = open_inbox(S, 0);
	sigset_t set = set_of(S, SIGIO, 0);
	int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	CHECK(sfd >= 0 && ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &event) == 0);
	fork_child(send_numbers, range);
	for (long n = 500; n < 600;) {
		struct signalfd_siginfo si;
		CHECK(epoll_wait(ep, &event, 1, 5000) == 1, "asleep at %ld", n);
		CHECK(read(sfd, &si, sizeof si) == sizeof si);
		int fd = sendfd_claim_signalfd(inbox, &si, NULL);
		CHECK(fd >= 0 || fd == -EAGAIN);
		if (fd >= 0)
			take_number(fd, n++);
	}
	close(sfd);
	close(ep);
	sendfd_inbox_close(inbox);
}

TEST(p05_inbox_descriptor_in_epoll)
{
	target = getpid();
	long range[2] = {500, 600};
	sendfd_inbox *inbox = open_inbox(S, 0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, sendfd_inbox_fileno(inbox), &event) == 0);
	fork_child(send_numbers, range);
	for (long n = 500; n < 600;) {
		CHECK(epoll_wait(ep, &event, 1, 5000) == 1, "asleep at %ld", n);
		int fd = sendfd_recv(inbox, NULL, &NOW);
		CHECK(fd >= 0 || fd == -EAGAIN);
		if (fd >= 0)
			take_number(fd, n++);
	}
	close(ep);
	sendfd_inbox_close(inbox);
}

static uid_t p06_uid;
static long p06_expect;
static void p06_sender(void *arg)
{
	(void)arg;
	become(p06_uid);
	int fd = make_memfd(606);
	CHECK_EQ(sendfd(target, S, fd), p06_expect);
}

static void p06_receiver(void *arg)
{
	(void)arg;
	become(lonely_uid());
	uid_t me = getuid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell((long)me);
	parent_hear();
	for (int i = 0; i < 2; i++) /* the same user, root */
		expect_number(inbox, 606);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(p06_permission_to_send_is_permission_to_signal, ROOT)
{
	struct child receiver = fork_child(p06_receiver, NULL);
	uid_t uid = (uid_t)child_hear(&receiver);
	target = receiver.pid;
	struct {
		uid_t uid;
		long expect;
	} cases[] = {{uid, 0}, {0, 0}, {uid + 1, -EPERM}};
	for (int i = 0; i < 3; i++) {
		p06_uid = cases[i].uid;
		p06_expect = cases[i].expect;
		struct child sender = fork_child(p06_sender, NULL);
		child_join(&sender);
	}
	child_tell(&receiver, 0);
	child_join(&receiver);

	/* a plain user to root */
	sendfd_inbox *inbox = open_inbox(S, 0);
	target = getpid();
	p06_uid = uid;
	p06_expect = -EPERM;
	struct child sender = fork_child(p06_sender, NULL);
	child_join(&sender);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}
