/* SIGIO, which stands for all signals that found the queue full, where the program has a handler for it. */
#include "harness.h"

#include <stdatomic.h>

static pid_t target;
static atomic_int handled;

static void on_overflow(int sig)
{
	(void)sig;
	handled++;
}

static void send_some(void *arg)
{
	(void)arg;
	int fd = make_memfd(1);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sendfd(target, S, fd));
	close(fd);
}

static sendfd_inbox *overflown(void)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(send_some, NULL);
	child_join(&sender);
	CHECK(pending(SIGIO));
	return inbox;
}

/* Closing takes it back: the program, which gets its mask back, did not ask for it. */
TEST_NEEDS(closing_takes_an_overflow_back, ROOT)
{
	struct sigaction action = {.sa_handler = on_overflow}, now;
	sigset_t set = set_of(SIGIO, 0);
	become(lonely_uid());
	set_limit(RLIMIT_SIGPENDING, 0);
	target = getpid();
	CHECK(sigaction(SIGIO, &action, NULL) == 0);
	for (int blocked = 0; blocked < 2; blocked++) {
		CHECK(sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL) == 0);
		uint64_t mask = mask_now();
		for (int with_mail = 0; with_mail < 2; with_mail++) {
			sendfd_inbox *inbox = overflown();
			for (int i = 0; i < 3 && !with_mail; i++)
				close(recv_soon(inbox, NULL));
			sendfd_inbox_close(inbox);
			CHECK(!pending(SIGIO) && !pending(S));
			CHECK(mask_now() == mask);
			CHECK_EQ(handled, 0);
		}
	}
	CHECK(sigaction(SIGIO, NULL, &now) == 0 && now.sa_handler == on_overflow);
}

/* The last inbox of the thread gives SIGIO back, not the first. */
TEST_NEEDS(an_overflow_waits_for_the_last_inbox, ROOT)
{
	struct sigaction action = {.sa_handler = on_overflow};
	become(lonely_uid());
	set_limit(RLIMIT_SIGPENDING, 0);
	target = getpid();
	CHECK(sigaction(SIGIO, &action, NULL) == 0);
	uint64_t mask = mask_now();
	sendfd_inbox *other = open_inbox(S + 1, 0), *inbox = overflown();
	sendfd_inbox_close(inbox);
	CHECK_EQ(handled, 0);
	int fd = make_memfd(2);
	CHECK_OK(sendfd(target, S + 1, fd));
	close(fd);
	expect_number(other, 2);
	sendfd_inbox_close(other);
	CHECK_EQ(handled, 0);
	CHECK(mask_now() == mask);
}
