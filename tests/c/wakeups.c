/* A full signal queue: whoever waits for signals is woken, and whoever waits for something else sleeps. */
#include "harness.h"

#include <sched.h>

static pid_t target;

static void as_lonely_user(void)
{
	if (geteuid() == 0)
		become(lonely_uid()); /* the signal queue's limit counts per user */
}

static long cpu_ms(void)
{
	struct timespec t;
	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sends_one(void *arg)
{
	int fd = make_memfd(*(long *)arg);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
}

/* --- mail behind a crowd ----------------------------------------------------------------------------- */
static void receives_behind_a_crowd(void *arg)
{
	(void)arg;
	as_lonely_user();
	sendfd_inbox *inbox = open_inbox(S, 0);
	set_limit(RLIMIT_SIGPENDING, 2); /* only now: how many may wait to be accepted hangs on it */
	parent_tell(0);
	while (parent_hear() == 0) { /* only the crowd is there */
		while (readable(sendfd_inbox_fileno(inbox)))
			CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		parent_tell(0);
	}
	int fd;
	while ((fd = sendfd_recv(inbox, NULL, &NOW)) == -EAGAIN)
		CHECK(pending(S) || pending(SIGIO), "mail waits, and nothing tells of it");
	take_number(CHECK_OK(fd), 5);
	sendfd_inbox_close(inbox);
}

/* Connects and goes, so often, or until no more fit in front of the receiver. */
static int crowd(const char *name, int most)
{
	int connected = 0, link = 0;
	for (; connected < most && (link = raw_connect(name)) >= 0; connected++)
		close(link);
	CHECK(connected == most || link == -EAGAIN, "%s", errno_name(-link));
	return connected;
}

static void sends_behind_a_crowd(bool strangers)
{
	char name[64];
	long number = 5;
	struct child receiver = fork_child(receives_behind_a_crowd, NULL);
	child_hear(&receiver);
	target = receiver.pid;
	inbox_name(target, S, name, sizeof name);
	if (strangers)
		CHECK(setresuid(1, 1, 0) == 0);
	int fit = crowd(name, 4000);
	CHECK(fit > 1);
	if (fit < 4000) { /* with room for the one who sends */
		child_tell(&receiver, 0);
		child_hear(&receiver);
		CHECK_EQ(crowd(name, fit - 1), fit - 1);
	}
	if (strangers)
		CHECK(setresuid(0, 0, 0) == 0);
	struct child sender = fork_child(sends_one, &number);
	child_join(&sender);
	child_tell(&receiver, 1);
	child_join(&receiver);
}

TEST(mail_behind_thousands_of_dead_connections) { sends_behind_a_crowd(false); }
TEST_NEEDS(mail_behind_thousands_of_strangers, ROOT) { sends_behind_a_crowd(true); }

/* --- two inboxes of one thread ------------------------------------------------------------------------- */
TEST(a_wait_sleeps_while_another_inbox_has_mail)
{
	as_lonely_user();
	target = getpid();
	sendfd_inbox *one = open_inbox(S + 1, 0), *two = open_inbox(S, 0);
	set_limit(RLIMIT_SIGPENDING, 0);
	long number = 3;
	struct child sender = fork_child(sends_one, &number);
	child_join(&sender);
	CHECK(pending(SIGIO));
	struct timespec limit = in_ms(600);
	for (int i = 0; i < 3; i++) {
		long before = cpu_ms();
		CHECK_ERR(sendfd_recv(one, NULL, &limit), ETIMEDOUT);
		CHECK(cpu_ms() - before < 100, "%ld ms on the CPU", cpu_ms() - before);
		CHECK(pending(S) || pending(SIGIO), "the other inbox has mail, and nothing tells of it");
	}
	sigset_t set = set_of(S, S + 1, SIGIO, 0);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &NOW) == SIGIO);
	CHECK_ERR(sendfd_claim(one, &si, NULL), EAGAIN);
	take_number(CHECK_OK(sendfd_claim(two, &si, NULL)), 3);
	sendfd_inbox_close(one);
	sendfd_inbox_close(two);
}

/* The same where the program claims for the one inbox alone: a signal for the other stays. */
TEST(a_claim_passes_an_overflow_on)
{
	as_lonely_user();
	target = getpid();
	sendfd_inbox *one = open_inbox(S + 1, 0), *two = open_inbox(S, 0);
	set_limit(RLIMIT_SIGPENDING, 0);
	long number = 3;
	struct child sender = fork_child(sends_one, &number);
	child_join(&sender);
	sigset_t set = set_of(S, S + 1, SIGIO, 0);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &NOW) == SIGIO);
	CHECK_ERR(sendfd_claim(one, &si, NULL), EAGAIN);
	CHECK(pending(S) || pending(SIGIO));
	take_number(recv_soon(two, NULL), 3);
	sendfd_inbox_close(one);
	sendfd_inbox_close(two);
}
