/* Outboxes: what became of a parcel. */
#include "receiver.h"

static const unsigned KINDS[] = {0, CLAIM, SENDFD_INBOX_NOSIGNAL, SENDFD_INBOX_THREAD,
				 SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL};

TEST_LIMIT(taken_not_yet_and_in_time, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++) {
		struct child child = start_receiver(KINDS[k]);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL)); /* nothing was sent */
		for (int i = 0; i < 3; i++)
			send_number_over(outbox, i);
		for (int left = 3; left > 0; left--) {
			CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
			struct timespec brief = in_ms(30);
			CHECK_TIMES_OUT(sendfd_outbox_wait_taken(outbox, &brief), 30);
			tell_receiver(&child, TAKE_ONE);
		}
		CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
		CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
		sendfd_outbox_close(outbox);
		child_tell(&child, END);
		child_join(&child);
	}
}

TEST(a_look_is_not_taken)
{
	struct child child = start_receiver(SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number_over(outbox, 1);
	for (int i = 0; i < 3; i++) {
		tell_receiver(&child, LOOK_ONLY);
		CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
	}
	tell_receiver(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
	sendfd_outbox_close(outbox);
	child_tell(&child, END);
	child_join(&child);
}

static void *wait_for_ever(void *outbox)
{
	return (void *)(intptr_t)sendfd_outbox_wait_taken(outbox, NULL);
}

enum end { TAKES, CLOSES, DIES };

/* Eight threads wait; what the receiver does wakes all of them with one verdict. */
static void threads_wake(unsigned kind, enum end end)
{
	struct child child = start_receiver(kind);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number_over(outbox, 1);
	send_number_over(outbox, 2);
	pthread_t threads[8];
	for (size_t i = 0; i < LEN(threads); i++)
		threads[i] = thread_start(wait_for_ever, outbox);
	tell_receiver(&child, TAKE_ONE);
	if (end == TAKES)
		tell_receiver(&child, TAKE_ONE);
	else if (end == CLOSES)
		tell_receiver(&child, CLOSE);
	else
		child_kill(&child);
	for (size_t i = 0; i < LEN(threads); i++) {
		void *result;
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK_EQ((intptr_t)result, end == TAKES ? 0 : -ECONNRESET);
	}
	sendfd_outbox_close(outbox);
	if (end != DIES) {
		child_tell(&child, end == TAKES ? CLOSE : END);
		if (end == TAKES) {
			child_hear(&child);
			child_tell(&child, END);
		}
		child_join(&child);
	}
}

TEST_LIMIT(waiting_threads_wake, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++)
		for (enum end end = TAKES; end <= DIES; end++)
			threads_wake(KINDS[k], end);
}

/* The verdict does not change, whoever asks and however often, and nothing can be sent any more. */
static void expect_verdict(sendfd_outbox *outbox, int error)
{
	for (int i = 0; i < 3; i++) {
		for (int null = 0; null < 2; null++) {
			int result = sendfd_outbox_wait_taken(outbox, null ? NULL : &NOW);
			CHECK(result == -error, "%s, not %s", errno_name(-result), errno_name(error));
		}
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "more", 4, NULL), EPIPE);
		char byte;
		CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, "more", 4, NULL, 0, &byte, 1, NULL, NULL), EPIPE);
	}
}

static void end_it(struct child *child, enum end end)
{
	if (end == DIES) {
		child_kill(child);
		return;
	}
	tell_receiver(child, CLOSE);
}

TEST_LIMIT(the_end_of_the_receiver, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++)
		for (enum end end = CLOSES; end <= DIES; end++)
			for (int taken = 0; taken < 4; taken++) { /* of 2; 3: it never accepted, none sent */
				struct child child = start_receiver(KINDS[k]);
				sendfd_outbox *outbox = open_outbox(child.pid, S);
				for (int i = 0; i < 2 && taken < 3; i++)
					send_number_over(outbox, i);
				for (int i = 0; i < taken && taken < 3; i++)
					tell_receiver(&child, TAKE_ONE);
				end_it(&child, end);
				expect_verdict(outbox, taken < 2 ? ECONNRESET : 0);
				sendfd_outbox_close(outbox);
				if (end == CLOSES) {
					child_tell(&child, END);
					child_join(&child);
				}
			}
}

/* The first to hear of the end is a send, to which the socket tells its only error. */
TEST(a_send_that_meets_the_end_does_not_hide_it)
{
	for (int taken = 0; taken < 2; taken++) {
		struct child child = start_receiver(SENDFD_INBOX_NOSIGNAL);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		send_number_over(outbox, 1);
		if (taken)
			tell_receiver(&child, TAKE_ONE);
		child_kill(&child);
		for (int i = 0; i < 3; i++)
			CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW), EPIPE);
		int result = sendfd_outbox_wait_taken(outbox, NULL);
		CHECK_EQ(result, taken ? 0 : -ECONNRESET);
		sendfd_outbox_close(outbox);
	}
}

static void open_and_clone(void *arg)
{
	(void)arg;
	open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear(); /* the outbox is connected */
	sendfd_inbox *inbox = open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL);
	(void)inbox;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
	CHECK(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	parent_tell(pid);
	parent_hear();
}

static pid_t copy;
static void kill_copy(void) { kill(copy, SIGKILL); }

TEST(a_child_of_the_receiver_holds_its_sockets)
{
	struct child child = fork_child(open_and_clone, NULL);
	child_hear(&child);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number_over(outbox, 1);
	child_tell(&child, 0);
	copy = (pid_t)child_hear(&child);
	atexit(kill_copy);
	pthread_t waiter = thread_start(wait_for_ever, outbox);
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
	child_kill(&child);
	void *result;
	CHECK(pthread_join(waiter, &result) == 0);
	CHECK_EQ((intptr_t)result, -ECONNRESET);
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), ECONNRESET);
	sendfd_outbox_close(outbox);
}

TEST(never_to_another_inbox)
{
	struct child child = start_receiver(SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number_over(outbox, 1);
	tell_receiver(&child, TAKE_ONE);
	tell_receiver(&child, REOPEN);
	expect_verdict(outbox, 0);
	sendfd_outbox *next = open_outbox(child.pid, S);
	send_number_over(next, 2);
	tell_receiver(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(next, &NOW));
	sendfd_outbox_close(next);
	sendfd_outbox_close(outbox);
	child_tell(&child, END);
	child_join(&child);
}

TEST(parcels_keep_their_order)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	for (int i = 0; i < 200; i++)
		send_number_over(outbox, i);
	for (int i = 0; i < 200; i++)
		expect_number(inbox, i);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}
