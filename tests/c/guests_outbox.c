/* An outbox of a guest: what it is told before it is let in, and what it hears afterwards. */
#include "guest.h"

static sendfd_outbox *open_at_once(void)
{
	sendfd_outbox *outbox;
	CHECK_OK(sendfd_outbox_open(receiver, S, &NOW, &outbox));
	return outbox;
}

static int send_byte(sendfd_outbox *outbox, long ms)
{
	struct timespec limit = in_ms(ms);
	return sendfd_outbox_send(outbox, NULL, 0, "x", 1, &limit);
}

static void expect_byte(sendfd_inbox *inbox)
{
	char byte;
	struct timespec limit = in_ms(10000);
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &byte, 1, NULL, &limit), 0);
}

static void waits_to_be_let_in(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = open_at_once();
	CHECK_ERR(send_byte(outbox, 0), EAGAIN);
	CHECK_TIMES_OUT(send_byte(outbox, 100), 100);
	parent_tell(1);
	CHECK_OK(send_byte(outbox, 10000));
	CHECK_OK(send_byte(outbox, 0));
	sendfd_outbox_close(outbox);
}

TEST_NEEDS(a_send_waits_until_it_is_let_in, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(waits_to_be_let_in, &guest);
		child_hear(&child);
		expect_byte(inbox);
		expect_byte(inbox);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

/* --- nobody lets it in any more ------------------------------------------------------------------- */
static void dies(void *arg)
{
	(void)arg;
	open_to_guest(0);
	parent_tell(guest);
	parent_hear();
	_exit(0);
}

static void outlives_the_receiver(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = open_at_once();
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_byte(outbox, 10000), EPIPE);
	sendfd_outbox_close(outbox);
}

TEST_NEEDS(the_receiver_dies_before_it_looks, ROOT)
{
	struct child dying = fork_child(dies, NULL);
	guest = (uid_t)child_hear(&dying);
	receiver = dying.pid;
	struct child child = fork_child(outlives_the_receiver, &guest);
	child_hear(&child);
	child_tell(&dying, 1);
	child_join(&dying);
	child_tell(&child, 1);
	child_join(&child);
}

/* --- after the welcome ------------------------------------------------------------------------------ */
static void sends_and_stays(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = open_at_once();
	parent_tell(1);
	CHECK_OK(send_byte(outbox, 10000));
	parent_hear();
	CHECK_OK(send_byte(outbox, 0));
	sendfd_outbox_close(outbox);
}

/* Nothing can be queued to it, which it would have to release. */
TEST_NEEDS(a_guest_hears_nothing_more, ROOT)
{
	enum { MOST = 4096 };
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(sends_and_stays, &guest);
		child_hear(&child);
		expect_byte(inbox);
		int closed = 0;
		for (int fd = 3; fd < MOST; fd++) {
			struct sockaddr_un peer;
			socklen_t len = sizeof peer;
			if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
				continue;
			CHECK(send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE, "%d", fd);
			closed++;
		}
		CHECK_EQ(closed, 1); /* the link */
		child_tell(&child, 1);
		child_join(&child);
		expect_byte(inbox);
		sendfd_inbox_close(inbox);
	}
}
