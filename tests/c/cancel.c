/* Threads that are cancelled inside the library. */
#include "harness.h"

static sendfd_inbox *shared;
static pid_t target;

static void cancel_myself(void)
{
	CHECK(pthread_cancel(pthread_self()) == 0);
}

static int taken;

static void *receives_and_ends(void *arg)
{
	(void)arg;
	cancel_myself();
	taken = sendfd_recv(shared, NULL, &NOW); /* there is mail, so it does not wait */
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

/* A thread that is cancelled while it takes a parcel leaves no lock behind and loses nothing. */
TEST(while_it_receives)
{
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	for (int round = 0; round < 20; round++) {
		int fd = make_memfd(1), left = 2;
		for (int i = 0; i <= left; i++)
			CHECK_OK(sendfd(getpid(), S, fd));
		close(fd);
		expect_number(shared, 1);
		int before = count_fds();
		taken = -1;
		thread_join(thread_start(receives_and_ends, NULL));
		if (taken >= 0) {
			take_number(taken, 1);
			left--;
		}
		for (; left > 0; left--)
			expect_number(shared, 1);
		expect_empty(shared);
		CHECK_EQ(count_fds(), before);
	}
	sendfd_inbox_close(shared);
}

static void *receives_until_cancelled(void *arg)
{
	CHECK(write(*(int *)arg, "x", 1) == 1);
	taken = sendfd_recv(shared, NULL, NULL);
	return NULL;
}

/* A thread that waits may be cancelled; what comes meanwhile is taken by it or by the next. */
TEST(while_it_waits)
{
	int p[2];
	char byte;
	need_signals(1); /* by which a thread is cancelled */
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	for (int i = 0; i < 200; i++) {
		int fd = make_memfd(i);
		taken = -1;
		pthread_t thread = thread_start(receives_until_cancelled, &p[1]);
		CHECK(read(p[0], &byte, 1) == 1);
		if (i % 2)
			CHECK_OK(sendfd(getpid(), S, fd));
		CHECK(pthread_cancel(thread) == 0);
		thread_join(thread); /* without mail, it ends by this alone */
		if (i % 2 == 0)
			CHECK_OK(sendfd(getpid(), S, fd));
		close(fd);
		if (taken >= 0)
			take_number(taken, i);
		else
			expect_number(shared, i);
		expect_empty(shared);
	}
	close(p[0]);
	close(p[1]);
	sendfd_inbox_close(shared);
}

static void *sends_and_ends(void *arg)
{
	(void)arg;
	cancel_myself();
	sendfd(target, S, 2);
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

/* A thread that is cancelled while it sends, for the first time or later, leaves nothing open. */
TEST(while_it_sends)
{
	target = getpid();
	for (int round = 0; round < 20; round++) {
		forget_dead_links();
		int before = count_fds();
		shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		for (int i = 0; i < 3; i++) {
			int fd;
			thread_join(thread_start(sends_and_ends, NULL));
			while ((fd = sendfd_recv(shared, NULL, &NOW)) >= 0)
				close(fd);
			CHECK_EQ(fd, -EAGAIN); /* sent or not: the thread has not lived to tell */
		}
		sendfd_inbox_close(shared);
		forget_dead_links();
		CHECK_EQ(count_fds(), before);
	}
}

static void *opens_and_ends(void *arg)
{
	(void)arg;
	cancel_myself();
	sendfd_inbox *inbox;
	CHECK_OK(sendfd_inbox_open(S, 0, &inbox));
	sendfd_inbox_close(inbox);
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

TEST(while_it_opens_and_closes)
{
	for (int round = 0; round < 20; round++) {
		int before = count_fds();
		thread_join(thread_start(opens_and_ends, NULL));
		CHECK_EQ(count_fds(), before);
		sendfd_inbox_close(open_inbox(S, 0)); /* the name is free */
	}
}

static void *opens_and_returns(void *arg)
{
	(void)arg;
	CHECK_OK(sendfd_inbox_open(S, SENDFD_INBOX_THREAD, &shared));
	CHECK_OK(sendfd(gettid(), S, 2));
	cancel_myself();
	return NULL;
}

/* What is closed at the end of a thread is closed whole. */
TEST(while_it_ends)
{
	for (int round = 0; round < 20; round++) {
		int before = count_fds();
		thread_join(thread_start(opens_and_returns, NULL));
		sendfd_inbox_close(shared);
		forget_dead_links();
		CHECK_EQ(count_fds(), before);
	}
}

/* --- what waits, and is no cancellation point ----------------------------------------------------- */
static const struct timespec SOON = {0, 100000000};
static sendfd_outbox *outbox;
static int waited;

static void *waits_for_an_inbox(void *arg)
{
	(void)arg;
	cancel_myself();
	waited = sendfd_outbox_open(getpid(), S, &SOON, &outbox);
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

static void *waits_for_the_receiver(void *arg)
{
	(void)arg;
	cancel_myself();
	waited = sendfd_outbox_wait_taken(outbox, &SOON);
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

static void *waits_for_an_answer(void *arg)
{
	(void)arg;
	cancel_myself();
	waited = sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &SOON);
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

static void check_wait(void *(*waits)(void *))
{
	int before = count_fds();
	waited = 0;
	thread_join(thread_start(waits, NULL));
	CHECK_EQ(waited, -ETIMEDOUT);
	CHECK_EQ(count_fds(), before);
}

/* They hold descriptors, which nobody would close. */
TEST(waits_of_a_sender)
{
	check_wait(waits_for_an_inbox);
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	CHECK_OK(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW));
	check_wait(waits_for_the_receiver);
	check_wait(waits_for_an_answer);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(shared);
}

static void *asks(void *arg)
{
	int fd = make_memfd(1);
	(void)arg;
	waited = sendfd_outbox_request(outbox, &fd, 1, NULL, 0, NULL, 0, NULL, 0, NULL, NULL);
	close(fd);
	return NULL;
}

/* The place for its answer is closed on the way out, when the descriptor is in hand. */
TEST(while_it_receives_a_request)
{
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	expect_empty(shared); /* which accepts the link: readable is the request from here on */
	int before = count_fds();
	pthread_t asker = thread_start(asks, NULL);
	struct pollfd polled = {.fd = sendfd_inbox_fileno(shared), .events = POLLIN};
	CHECK(poll(&polled, 1, 10000) == 1);
	taken = -1;
	thread_join(thread_start(receives_and_ends, NULL));
	thread_join(asker);
	CHECK_EQ(waited, -ECONNRESET);
	take_number(taken, 1);
	CHECK_EQ(count_fds(), before);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(shared);
}

/* --- children --------------------------------------------------------------------------------------- */
static pid_t child_of_it;

static void *forks_and_ends(void *arg)
{
	bool raw = *(bool *)arg;
	cancel_myself();
	child_of_it = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
	if (child_of_it == 0) {
		signal(SIGALRM, SIG_DFL);
		limit_time(20);
		/* A raw clone closes what it has inherited by its first call. */
		CHECK_EQ(sendfd(0, S, 2), -EINVAL);
		CHECK_EQ(sendfd_inbox_fileno(shared), -EPERM);
		_exit(7);
	}
	pthread_testcancel();
	CHECK(false, "not cancelled");
}

/* fork(2) is no cancellation point, in a child either. */
TEST(a_child_of_a_thread_that_is_to_end)
{
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_OK(sendfd(getpid(), S, 2));
	close(CHECK_OK(sendfd_recv(shared, NULL, NULL)));
	for (int raw = 0; raw <= 1; raw++) {
		int status;
		thread_join(thread_start(forks_and_ends, &(bool){raw}));
		CHECK(waitpid(child_of_it, &status, 0) == child_of_it);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %#x", status);
	}
	sendfd_inbox_close(shared);
}
