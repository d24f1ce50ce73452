/* The place for the answer to a request: who may hold it, and what it may be. */
#include "harness.h"

#include <netinet/in.h>

static sendfd_info held;
static void *answer_later(void *inbox)
{
	sendfd_inbox_close(inbox);
	int fd = make_memfd(3);
	CHECK_OK(sendfd_reply(held.reply, &fd, 1, NULL, 0));
	close(fd);
	close(held.reply);
	return NULL;
}

TEST(answered_from_another_thread_after_the_inbox_was_closed)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	pthread_t asker = thread_start(ask_for_ever, outbox);
	int fds[1];
	struct timespec limit = in_ms(10000);
	CHECK_EQ(sendfd_recvs(inbox, fds, 1, NULL, 0, &held, &limit), 1);
	close(fds[0]);
	CHECK(held.reply >= 0);
	pthread_t answerer = thread_start(answer_later, inbox);
	void *result;
	CHECK(pthread_join(asker, &result) == 0);
	CHECK_EQ((intptr_t)result, -EMSGSIZE); /* it had no room for one descriptor */
	thread_join(answerer);
	sendfd_outbox_close(outbox);
}

static void answer_for_it(void *arg)
{
	(void)arg;
	CHECK_OK(sendfd_reply(held.reply, NULL, 0, NULL, 0));
	close(held.reply);
	parent_tell(0);
	parent_hear();
}

TEST(the_place_can_be_handed_on)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	pthread_t asker = thread_start(ask_for_ever, outbox);
	held.reply = -1;
	sendfd_info info;
	close(recv_soon(inbox, &info));
	held = info;
	struct child child = fork_child(answer_for_it, NULL);
	close(info.reply);
	child_hear(&child);
	void *result;
	CHECK(pthread_join(asker, &result) == 0);
	CHECK_EQ((intptr_t)result, 0);
	child_tell(&child, 0);
	child_join(&child);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

TEST(claimed_requests_are_answered)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	sigset_t set = set_of(S, SIGIO, 0);
	struct timespec limit = in_ms(10000);
	for (int by_signalfd = 0; by_signalfd < 2; by_signalfd++) {
		pthread_t asker = thread_start(ask_for_ever, outbox);
		int fd = -EAGAIN, sfd = signalfd(-1, &set, SFD_CLOEXEC);
		sendfd_info info;
		while (fd == -EAGAIN) {
			siginfo_t si;
			struct signalfd_siginfo ssi;
			if (by_signalfd)
				CHECK(read(sfd, &ssi, sizeof ssi) == sizeof ssi);
			else
				CHECK(sigtimedwait(&set, &si, &limit) > 0);
			fd = by_signalfd ? sendfd_claim_signalfd(inbox, &ssi, &info) : sendfd_claim(inbox, &si, &info);
		}
		close(CHECK_OK(fd));
		CHECK_OK(sendfd_reply(info.reply, NULL, 0, NULL, 0));
		void *result;
		CHECK(pthread_join(asker, &result) == 0);
		CHECK_EQ((intptr_t)result, 0);
		close(info.reply);
		close(sfd);
	}
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

TEST(what_is_no_place_for_an_answer)
{
	int pair[2], stream[2], tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), many[253];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) == 0);
	int alone = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	for (size_t i = 0; i < LEN(many); i++)
		many[i] = 2;
	CHECK_ERR(sendfd_reply(-1, NULL, 0, NULL, 0), EBADF);
	CHECK_ERR(sendfd_reply(1000, NULL, 0, NULL, 0), EBADF);
	CHECK_ERR(sendfd_reply(2, NULL, 0, NULL, 0), ENOTSOCK);
	CHECK_ERR(sendfd_reply(tcp, NULL, 0, NULL, 0), EINVAL);
	CHECK_ERR(sendfd_reply(stream[0], NULL, 0, NULL, 0), EINVAL);
	CHECK_ERR(sendfd_reply(alone, NULL, 0, NULL, 0), EINVAL);
	CHECK_ERR(sendfd_reply(pair[0], many, 253, NULL, 0), EINVAL);
	CHECK_ERR(sendfd_reply(pair[0], NULL, 1, NULL, 0), EINVAL);
	CHECK_ERR(sendfd_reply(pair[0], NULL, 0, NULL, 1), EINVAL);
	CHECK_ERR(sendfd_reply(pair[0], many, 1, many, SENDFD_MAX_DATA + 1), EMSGSIZE);
	CHECK_ERR(sendfd_reply(pair[0], (int[]){1000}, 1, NULL, 0), EBADF);
	char byte;
	CHECK(recv(stream[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(recv(pair[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK_OK(sendfd_reply(pair[0], NULL, 0, NULL, 0)); /* after all those another try may be made */
	CHECK_EQ(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
	int all[] = {pair[0], pair[1], stream[0], stream[1], tcp, alone};
	for (size_t i = 0; i < LEN(all); i++)
		close(all[i]);
}

/* --- hostile askers: what their place holds would have to be released by whoever closes it ------------ */
static char name[108];

enum place { LISTENER, LONE, STREAM, FULL, FULL_OF_EMPTY, FULL_BEHIND_EMPTY, REGULAR };

static void hostile_asker(void *arg)
{
	enum place place = *(enum place *)arg;
	int pair[2], link = raw_connect(name), reply;
	CHECK(link >= 0);
	CHECK(socketpair(AF_UNIX, place == STREAM ? SOCK_STREAM : SOCK_SEQPACKET, 0, pair) == 0);
	reply = pair[1];
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
	if (place == LISTENER || place == LONE)
		reply = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (place == LISTENER)
		CHECK(bind(reply, (struct sockaddr *)&nowhere, sizeof(sa_family_t)) == 0 && listen(reply, 5) == 0);
	if (place == REGULAR)
		reply = make_memfd(1);
	if (place == FULL_BEHIND_EMPTY)
		CHECK_EQ(raw_send(pair[0], "", 0, NULL, 0), 0);
	if (place == FULL || place == FULL_OF_EMPTY || place == FULL_BEHIND_EMPTY)
		CHECK_EQ(raw_send(pair[0], "x", place != FULL_OF_EMPTY, (int[]){2}, 1), 0);
	struct wire wire = WIRE_REPLY(0, 0);
	CHECK_EQ(raw_send(link, &wire, sizeof wire, &reply, 1), 0);
	parent_tell(0);
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP), "its link is not closed");
}

TEST(places_that_could_stall_whoever_closes_them_are_refused)
{
	for (unsigned flags = 0; flags < 4; flags += SENDFD_INBOX_NOSIGNAL)
		for (enum place place = LISTENER; place <= REGULAR; place++) {
			sendfd_inbox *inbox = open_inbox(S, flags);
			inbox_name(getpid(), S, name, sizeof name);
			struct child child = fork_child(hostile_asker, &place);
			child_hear(&child);
			char question[100];
			CHECK_ERR(sendfd_recvs(inbox, NULL, 0, question, sizeof question, NULL, &NOW), EAGAIN);
			child_tell(&child, 0);
			child_join(&child);
			expect_empty(inbox);
			sendfd_inbox_close(inbox);
		}
}
