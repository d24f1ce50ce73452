/* Floods of connections: what they can take of the receiver's signal queue. */
#include "harness.h"

#define INBOXES 24
#define LIMIT 6400
#define SHARE (LIMIT / 64 + 1) /* of the signal queue, for the connections that wait at one inbox */

static pid_t target;
static char names[INBOXES][64];
static uid_t user;
static int inboxes;
static sendfd_inbox *opened[INBOXES];

static int number_of(int i) { return SIGRTMIN + 2 + i; }

static void a_timer_can_be_made(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "%ld signals are queued", queued_signals());
	CHECK(timer_delete(timer) == 0);
}

/* --- a stranger's connections, and the signals that they queue ----------------------------------------- */
static void fills_all(void *arg)
{
	(void)arg;
	become(user + 1000000);
	for (int i = 0; i < inboxes; i++) {
		int link, count = 0;
		while ((link = raw_connect(names[i])) >= 0) {
			close(link);
			CHECK(++count < 10000);
		}
		CHECK_EQ(link, -EAGAIN);
	}
}

static void connects_for_ever(void *arg)
{
	(void)arg;
	become(user + 1000000);
	for (long n = 0;; n++) {
		int link = raw_connect(names[0]);
		if (link >= 0)
			close(link);
		if (n == 1000)
			parent_tell(0);
	}
}

static void (*receives)(void);

static void receiver(void *arg)
{
	(void)arg;
	become(user);
	set_limit(RLIMIT_SIGPENDING, LIMIT);
	for (int i = 0; i < inboxes; i++)
		opened[i] = open_inbox(number_of(i), 0);
	parent_tell(0);
	parent_hear();
	receives();
	for (int i = 0; i < inboxes; i++)
		sendfd_inbox_close(opened[i]);
}

static struct child open_receiver(int count, void (*receives_)(void))
{
	inboxes = count;
	receives = receives_;
	user = lonely_uid();
	struct child child = fork_child(receiver, NULL);
	child_hear(&child);
	target = child.pid;
	for (int i = 0; i < count; i++)
		inbox_name(target, number_of(i), names[i], sizeof names[i]);
	return child;
}

/* Of all that are open; a slow machine needs more calls for the last signals, too. */
static void expect_no_signals(void)
{
	for (unsigned tries = 1; tries < slower() && queued_signals() > 0; tries++)
		for (int i = 0; i < inboxes; i++)
			expect_empty(opened[i]);
	CHECK_EQ(queued_signals(), 0);
}

static void none_has_taken_all(void)
{
	CHECK(queued_signals() <= INBOXES * SHARE, "%ld signals", queued_signals());
	a_timer_can_be_made();
	for (int i = 0; i < inboxes; i++) {
		int fd = make_memfd(i);
		expect_empty(opened[i]);
		CHECK_OK(sendfd(getpid(), number_of(i), fd));
		close(fd);
		expect_number(opened[i], i);
	}
	expect_no_signals();
}

TEST_WITH(a_stranger_leaves_the_signal_queue_to_others, 60, ROOT)
{
	struct child to = open_receiver(INBOXES, none_has_taken_all), crowd = fork_child(fills_all, NULL);
	child_join(&crowd);
	child_tell(&to, 0);
	child_join(&to);
}

/* While the receiver takes what comes, as many again may have been accepted ahead of their signals. */
static void receives_for_a_while(void)
{
	for (int i = 0; i < 40; i++) {
		struct timespec limit = in_ms(25);
		CHECK_ERR(sendfd_recv(opened[0], NULL, &limit), ETIMEDOUT);
		CHECK(queued_signals() <= 2 * SHARE, "%ld signals", queued_signals());
	}
}

static void claims_for_a_while(void)
{
	sigset_t set = set_of(number_of(0), SIGIO, 0);
	for (long end = now_ms() + 1000; now_ms() < end;) {
		siginfo_t si;
		for (int n = 0; n < 500 && sigtimedwait(&set, &si, &NOW) > 0; n++)
			CHECK_ERR(sendfd_claim(opened[0], &si, NULL), EAGAIN);
		CHECK(queued_signals() <= 2 * SHARE, "%ld signals", queued_signals());
	}
}

/* The fastest of all strangers: whenever the library accepts a connection, there is another. */
static bool refill;
int accept_and_refill(int listener, void *address, void *len, int flags) __asm__("accept4");
int accept_and_refill(int listener, void *address, void *len, int flags)
{
	int fd = (int)syscall(SYS_accept4, listener, address, len, flags), error = errno;
	if (fd >= 0 && refill) {
		int link = raw_connect(names[0]);
		CHECK(link >= 0 || link == -EAGAIN);
		if (link >= 0)
			close(link);
	}
	errno = error;
	return fd;
}

static void under_the_fastest(void (*receives_)(void))
{
	become(lonely_uid()); /* whose signals are counted */
	set_limit(RLIMIT_SIGPENDING, LIMIT);
	inboxes = 1;
	opened[0] = open_inbox(number_of(0), 0);
	inbox_name(getpid(), number_of(0), names[0], sizeof names[0]);
	for (int link; (link = raw_connect(names[0])) >= 0;)
		close(link);
	refill = true;
	receives_();
	refill = false;
	expect_empty(opened[0]);
	expect_no_signals();
	sendfd_inbox_close(opened[0]);
}

TEST_WITH(the_fastest_stranger_cannot_outrun_a_receiver, 60, ROOT) { under_the_fastest(receives_for_a_while); }
TEST_WITH(the_fastest_stranger_cannot_outrun_claims, 60, ROOT) { under_the_fastest(claims_for_a_while); }

static void while_it_receives(void (*receives_)(void))
{
	struct child to = open_receiver(1, receives_), crowd = fork_child(connects_for_ever, NULL);
	child_hear(&crowd);
	child_tell(&to, 0);
	child_join(&to);
	child_kill(&crowd);
}

TEST_WITH(a_stranger_cannot_outrun_a_receiver, 60, ROOT) { while_it_receives(receives_for_a_while); }
TEST_WITH(a_stranger_cannot_outrun_claims, 60, ROOT) { while_it_receives(claims_for_a_while); }

/* Honest first sends of many processes that end at once wait there, as many as the share allows. */
static void sends_once(void)
{
	int fd = make_memfd(7);
	for (int i = 0; i < SHARE; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(sendfd(target, number_of(0), fd) != 0);
		CHECK(exited_well(pid));
	}
	CHECK_ERR(sendfd(target, number_of(0), fd), EAGAIN);
	close(fd);
}

static void takes_a_share(void)
{
	for (int i = 0; i < SHARE; i++)
		expect_number(opened[0], 7);
	expect_empty(opened[0]);
}

TEST_WITH(a_share_of_first_sends_waits, 60, ROOT)
{
	struct child to = open_receiver(1, takes_a_share);
	sends_once();
	child_tell(&to, 0);
	child_join(&to);
	forget_dead_links();
}
