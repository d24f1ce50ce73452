/* What comes in the place of an answer. */
#include "harness.h"

struct question {
	sendfd_outbox *outbox;
	int result;
};

static void *asks(void *arg)
{
	struct question *question = arg;
	int fds[3] = {-7, -7, -7};
	struct timespec limit = in_ms(10000);
	question->result = sendfd_outbox_request(question->outbox, NULL, 0, NULL, 0, fds, 3, NULL, 0, NULL, &limit);
	CHECK(question->result >= 0 || (fds[0] == -7 && fds[2] == -7));
	return NULL;
}

/* What the asker is told of these bytes, with so many copies of a descriptor; nothing of it stays open. */
static int told_of(const void *bytes, size_t len, bool is_place)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	struct question question = {.result = 0};
	struct timespec limit = in_ms(10000);
	sendfd_info info;
	int pair[2];
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &question.outbox));
	int before = count_fds();
	pthread_t asker = thread_start(asks, &question);
	CHECK_OK(sendfd_recvs(inbox, NULL, 0, NULL, 0, &info, &limit));
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK_EQ(raw_send(info.reply, bytes, len, &pair[1], is_place), 0);
	close(pair[1]);
	thread_join(asker);
	struct pollfd end = {pair[0], POLLIN, 0};
	CHECK(poll(&end, 1, 5000) == 1 && (end.revents & POLLHUP), "a descriptor of it is open");
	close(pair[0]);
	close(info.reply);
	CHECK(count_fds() <= before + 1, "the link that was accepted");
	sendfd_outbox_close(question.outbox);
	sendfd_inbox_close(inbox);
	return question.result;
}

TEST(an_answer_asks_for_none) { CHECK_EQ(told_of(&WIRE_REPLY(0, 0), sizeof(struct wire), true), -EPROTO); }

TEST(what_is_no_answer)
{
	struct wire later = WIRE(0, 0);
	later.version = 2;
	CHECK_EQ(told_of(&later, sizeof later, false), -EPROTO);
	CHECK_EQ(told_of("nonsense", 8, false), -ECONNRESET);
	CHECK_EQ(told_of("", 0, true), -ECONNRESET); /* it looks like the end, and a descriptor comes with it */
	CHECK_EQ(told_of(&WIRE(0, 0), sizeof(struct wire), true), -ECONNRESET);
	CHECK_EQ(told_of(&WIRE(1, 0), sizeof(struct wire), false), -ECONNRESET);
	CHECK_EQ(told_of(&WIRE(0, 0), sizeof(struct wire), false), 0);
}
