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
