/* A receiver that changes its user after opening: what counted as sent arrives, and the former user is
 * let in no longer. */
#include "harness.h"

static pid_t target;
static uid_t former, later;
static char name[64];

/* Each word of the parent is a step: change the user, or take this number. */
#define CHANGE (-1)

static void receiver(void *arg)
{
	CHECK(setresuid(former, former, 0) == 0); /* 0 saved, to get on from there */
	sendfd_inbox *inbox = open_inbox(S, *(unsigned *)arg);
	parent_tell(0);
	for (long step; (step = parent_hear()) != 0;) {
		if (step == CHANGE) {
			CHECK(setresuid(0, 0, 0) == 0);
			become(later);
		} else {
			expect_number(inbox, step);
			expect_empty(inbox);
		}
		parent_tell(0);
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void step(struct child *child, long what)
{
	child_tell(child, what);
	child_hear(child);
}

static void sends(const uid_t uids[2], int expected)
{
	CHECK(setresuid(uids[0], uids[1], uids[1]) == 0);
	int fd = make_memfd(1);
	int result = sendfd(target, S, fd);
	CHECK(result == -expected, "%s", errno_name(-result));
	close(fd);
}

static void sends_as_former(void *arg) { sends((uid_t[]){former, former}, *(int *)arg); }
static void sends_as_later(void *arg) { sends((uid_t[]){later, later}, *(int *)arg); }
/* kill(2) looks at the real user, the receiver at the effective one. */
static void sends_as_both(void *arg) { sends((uid_t[]){later, former}, *(int *)arg); }

static void send_by(void (*run)(void *), int expected)
{
	struct child sender = fork_child(run, &expected);
	child_join(&sender);
}

static void goes_around(void *arg)
{
	struct wire wire = WIRE(1, 0);
	(void)arg;
	become(former);
	int link = raw_connect(name);
	CHECK(link >= 0, "%s", errno_name(-link));
	raw_send(link, &wire, sizeof wire, (int[]){2}, 1);
}

static struct child open_as_former(unsigned *flags)
{
	former = lonely_uid();
	later = former + 1000000;
	struct child child = fork_child(receiver, flags);
	target = child.pid;
	child_hear(&child);
	inbox_name(target, S, name, sizeof name);
	return child;
}

TEST_NEEDS(sent_before_the_change_and_not_yet_accepted, ROOT)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child child = open_as_former(&flags);
		send_by(sends_as_former, 0);
		step(&child, CHANGE);
		send_by(sends_as_former, EPERM);
		step(&child, 1);
		send_by(sends_as_former, EPERM);
		struct child intruder = fork_child(goes_around, NULL);
		child_join(&intruder);
		send_by(sends_as_later, 0);
		step(&child, 1);
		child_tell(&child, 0);
		child_join(&child);
	}
}

/* Whether it is let in or not, the sender is told the truth. */
TEST_NEEDS(half_the_former_and_half_the_later_user, ROOT)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child child = open_as_former(&flags);
		step(&child, CHANGE);
		send_by(sends_as_both, 0); /* the receiver has not looked since */
		step(&child, 1);
		send_by(sends_as_both, EPERM);
		child_tell(&child, 0);
		child_join(&child);
	}
}
