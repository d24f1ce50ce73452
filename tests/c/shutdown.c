/* sendfd_inbox_shutdown(): every wait ends, in whatever thread. */
#include "harness.h"

#include <sys/prctl.h>

static sendfd_inbox *shared;
static int started[2];

static void is_over(sendfd_inbox *inbox)
{
	sendfd_info info = {.nfds = 7};
	siginfo_t si = {.si_signo = S, .si_code = SI_USER};
	struct signalfd_siginfo ssi = {.ssi_signo = S, .ssi_code = SI_USER};
	int fd = -7;
	CHECK_ERR(sendfd_recv(inbox, &info, NULL), EBADF);
	CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EBADF);
	CHECK_ERR(sendfd_recvs(inbox, &fd, 1, NULL, 0, &info, NULL), EBADF);
	CHECK_ERR(sendfd_claim(inbox, &si, &info), EBADF);
	CHECK_ERR(sendfd_claim_signalfd(inbox, &ssi, &info), EBADF);
	CHECK(info.nfds == 7 && fd == -7);
}

static void *waits(void *arg)
{
	struct timespec limit = in_ms(60000);
	int fd;
	CHECK(write(started[1], "x", 1) == 1);
	switch ((intptr_t)arg % 3) {
	case 0:
		CHECK_ERR(sendfd_recv(shared, NULL, NULL), EBADF);
		break;
	case 1:
		CHECK_ERR(sendfd_recvs(shared, &fd, 1, NULL, 0, NULL, NULL), EBADF);
		break;
	default:
		CHECK_ERR(sendfd_recv(shared, NULL, &limit), EBADF);
	}
	is_over(shared);
	return NULL;
}

static void wait_until_started(int threads)
{
	char byte;
	while (threads--)
		CHECK(read(started[0], &byte, 1) == 1);
}

TEST(shutdown_ends_the_waits_of_all_threads)
{
	CHECK(pipe2(started, O_CLOEXEC) == 0);
	for (int round = 0; round < 30; round++) {
		pthread_t threads[6];
		shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		for (intptr_t i = 0; i < 6; i++)
			threads[i] = thread_start(waits, (void *)i);
		if (round % 2)
			wait_until_started(6);
		CHECK_EQ(sendfd_inbox_shutdown(shared), 0);
		for (int i = 0; i < 6; i++)
			thread_join(threads[i]);
		if (round % 2 == 0)
			wait_until_started(6);
		CHECK_EQ(sendfd_inbox_shutdown(shared), 0); /* once more does no harm */
		is_over(shared);
		CHECK_ERR(sendfd(getpid(), S, 2), ECONNREFUSED);
		sendfd_inbox_close(shared);
	}
	close(started[0]);
	close(started[1]);
}

static void *shuts_down(void *arg)
{
	(void)arg;
	CHECK_EQ(sendfd_inbox_shutdown(shared), 0);
	return NULL;
}

/* An inbox with signals is for one thread; any other can end its wait. */
TEST(shutdown_ends_the_wait_of_the_owner)
{
	for (int round = 0; round < 30; round++) {
		shared = open_inbox(S, 0);
		pthread_t other = thread_start(shuts_down, NULL);
		CHECK_ERR(sendfd_recv(shared, NULL, NULL), EBADF);
		thread_join(other);
		is_over(shared);
		sendfd_inbox_close(shared);
		CHECK(!pending(S) && !pending(SIGIO));
	}
}

/* Nor does a loop of the program's own sleep on: a signal comes, and the claim says what happened. */
static void own_loop(bool full_queue)
{
	sigset_t set = set_of(S, SIGIO, 0);
	siginfo_t si;
	struct timespec limit = in_ms(10000);
	for (int round = 0; round < 30; round++) {
		shared = open_inbox(S, 0);
		if (full_queue)
			set_limit(RLIMIT_SIGPENDING, 0);
		pthread_t other = thread_start(shuts_down, NULL);
		int result;
		do {
			CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep");
			result = sendfd_claim(shared, &si, NULL);
		} while (result == -EAGAIN);
		CHECK(result == -EBADF, "%s", errno_name(-result));
		thread_join(other);
		sendfd_inbox_close(shared);
		CHECK(!pending(S) && !pending(SIGIO));
	}
}

TEST(shutdown_wakes_a_loop_of_the_programs_own) { own_loop(false); }
TEST(shutdown_wakes_a_loop_without_a_signal_queue) { own_loop(true); }

/* What waited in it is released when it is closed. */
TEST(shutdown_keeps_nothing_after_the_close)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct witness w = make_witness();
		CHECK_OK(sendfd(getpid(), S, w.sent));
		close(w.sent);
		CHECK_EQ(sendfd_inbox_shutdown(inbox), 0);
		is_over(inbox);
		sendfd_inbox_close(inbox);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
		inbox = open_inbox(S, flags); /* its name is free */
		sendfd_inbox_close(inbox);
	}
}

/* A raw clone holds the sockets open: senders see the end all the same. */
static void sends_until_refused(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	CHECK_OK(sendfd(pid, S, 2));
	parent_tell(0);
	parent_hear();
	CHECK_ERR(sendfd(pid, S, 2), ECONNREFUSED);
}

TEST(shutdown_and_close_with_a_raw_clone)
{
	pid_t pid = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child sender = fork_child(sends_until_refused, &pid);
		child_hear(&sender);
		close(recv_soon(inbox, NULL)); /* its link is accepted */
		pid_t clone = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		while (clone == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
			pause();
		CHECK(clone > 0);
		CHECK_EQ(sendfd_inbox_shutdown(inbox), 0);
		sendfd_inbox_close(inbox);
		child_tell(&sender, 0);
		child_join(&sender);
		kill(clone, SIGKILL);
		CHECK(waitpid(clone, NULL, 0) == clone);
	}
}

static void inherits(void *arg)
{
	CHECK_ERR(sendfd_inbox_shutdown(arg), EPERM);
	sendfd_inbox_close(arg);
}

TEST(shutdown_einval_and_eperm)
{
	CHECK_ERR(sendfd_inbox_shutdown(NULL), EINVAL);
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child child = fork_child(inherits, inbox);
		child_join(&child);
		int fd = make_memfd(4); /* the parent's is not harmed */
		CHECK_OK(sendfd(getpid(), S, fd));
		close(fd);
		expect_number(inbox, 4);
		sendfd_inbox_close(inbox);
	}
}
