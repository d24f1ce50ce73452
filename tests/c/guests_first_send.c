/* The first send of a guest, who is not let in before the receiver looks. */
#include "guest.h"

#include <sched.h>

static void sends_without_waiting(void *arg)
{
	become(*(uid_t *)arg);
	for (int i = 0; i < 3; i++)
		CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_OK(send_number(7, 0));
	CHECK_OK(send_number(8, 0));
}

static void is_turned_away_without_waiting(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(7, 0), EPERM);
	CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(7, 0), EPERM);
}

TEST_NEEDS(until_it_is_let_in_a_first_send_gives_eagain, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(sends_without_waiting, &guest);
		child_hear(&child);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		CHECK(KINDS[kind] != 0 || pending(S));
		expect_empty(inbox);
		child_tell(&child, 1);
		expect_number(inbox, 7);
		expect_number(inbox, 8);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

TEST_NEEDS(who_is_turned_away_learns_it_at_the_next_send, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	uid_t other = guest + 1;
	struct child child = fork_child(is_turned_away_without_waiting, &other);
	for (int i = 0; i < 2; i++) {
		child_hear(&child);
		expect_empty(inbox);
		child_tell(&child, 1);
	}
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void waits_in_vain(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_TIMES_OUT(send_number(7, 100), 100);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(100);
	CHECK_TIMES_OUT(sendfd_outbox_open(receiver, S, &limit, &outbox), 100);
}

TEST_NEEDS(nobody_looks, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(waits_in_vain, &guest);
	child_join(&child);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void waits_for_one_who_goes(void *arg)
{
	become(*(uid_t *)arg);
	parent_tell(1);
	int sent = send_number(7, 10000);
	CHECK(sent == -ESRCH || sent == -EPERM, "%s", errno_name(-sent)); /* there is no inbox, or no task */
}

TEST_NEEDS(the_receiver_closes_before_it_looks, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(waits_for_one_who_goes, &guest);
	child_hear(&child);
	while (!readable(sendfd_inbox_fileno(inbox)))
		sched_yield();
	sendfd_inbox_close(inbox);
	child_join(&child);
}

static void dies(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_to_guest(0);
	parent_tell(guest);
	parent_hear();
	while (!readable(sendfd_inbox_fileno(inbox)))
		sched_yield();
	_exit(0);
}

TEST_NEEDS(the_receiver_dies_before_it_looks, ROOT)
{
	struct child dying = fork_child(dies, NULL);
	guest = (uid_t)child_hear(&dying);
	receiver = dying.pid;
	struct child child = fork_child(waits_for_one_who_goes, &guest);
	child_hear(&child);
	child_tell(&dying, 1);
	child_join(&dying);
	child_join(&child);
}
