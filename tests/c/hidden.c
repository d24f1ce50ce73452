/* What comes just before the end is not lost.
 *
 * KERNEL: who looks at a socket of packets that has nothing, and only then finds that its peer is gone, is told that it
 * has come to its end, also where a message has come in between. Here that is what happens each time. */
#include "harness.h"

/* Sends and ends, or closes and tells, when it is told to. */
static struct child *comes_between;
static bool ends, hides;

static ssize_t the_end(int fd, struct msghdr *message)
{
	struct pollfd p = {fd, POLLRDHUP, 0};
	CHECK(poll(&p, 1, 10000) == 1 && (p.revents & POLLRDHUP));
	message->msg_controllen = 0;
	message->msg_flags = 0;
	return 0;
}

ssize_t receive_late(int fd, struct msghdr *message, int flags) __asm__("recvmsg");
ssize_t receive_late(int fd, struct msghdr *message, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, message, flags);
	if (n < 0 && errno == EAGAIN && comes_between && (flags & MSG_PEEK)) {
		struct child *other = comes_between;
		comes_between = NULL;
		child_tell(other, 0);
		if (ends)
			child_join(other);
		else
			child_hear(other);
		return the_end(fd, message);
	}
	if (n >= 0 && hides && (flags & MSG_PEEK)) {
		hides = false;
		return the_end(fd, message);
	}
	return n;
}

/* --- a sender that ends while the receiver looks -------------------------------------------------- */
static void sends_when_told(void *arg)
{
	struct wire wire = WIRE(1, 0);
	int link = raw_connect(arg);
	CHECK(link >= 0);
	parent_tell(0);
	parent_hear();
	CHECK_EQ(raw_send(link, &wire, sizeof wire, (int[]){2}, 1), 0);
}

static void looks_too_early(unsigned flags, bool claim)
{
	char name[64];
	sendfd_inbox *inbox = open_inbox(S, flags);
	inbox_name(getpid(), S, name, sizeof name);
	struct child sender = fork_child(sends_when_told, name);
	child_hear(&sender);
	comes_between = &sender;
	ends = true;
	sigset_t set = set_of(S, SIGIO, 0);
	int fd = -EAGAIN;
	for (siginfo_t si; claim && fd == -EAGAIN && sigtimedwait(&set, &si, &NOW) > 0;)
		fd = sendfd_claim(inbox, &si, NULL);
	if (!claim)
		fd = recv_soon(inbox, NULL);
	CHECK(fd >= 0 && !comes_between, "%s", errno_name(-fd));
	close(fd);
	sendfd_inbox_close(inbox);
}

TEST(a_sender_that_ends_while_it_is_looked_for_recv) { looks_too_early(0, false); }
TEST(a_sender_that_ends_while_it_is_looked_for_quiet) { looks_too_early(SENDFD_INBOX_NOSIGNAL, false); }
TEST(a_sender_that_ends_while_it_is_looked_for_claim) { looks_too_early(0, true); }

/* --- a receiver that welcomes a guest, and closes its inbox, while that looks ---------------------------- */
static void welcomes_and_closes(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_ANYONE);
	parent_tell(0);
	for (int guests = *(int *)arg; guests > 0; guests--) {
		parent_hear();
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		sendfd_inbox_close(inbox);
		inbox = open_inbox(S, SENDFD_INBOX_ANYONE);
		parent_tell(0);
	}
	parent_hear();
	sendfd_inbox_close(inbox);
}

/* It was let in, and its receiver closed: nowhere was it turned away. */
static void is_welcomed_late(void *arg)
{
	(void)arg;
	int guests = 3;
	struct child receiver = fork_child(welcomes_and_closes, &guests);
	become(lonely_uid());
	child_hear(&receiver);
	comes_between = &receiver;
	CHECK_ERR(sendfd(receiver.pid, S, 2), EAGAIN);
	CHECK(!comes_between);

	sendfd_outbox *outbox;
	CHECK_OK(sendfd_outbox_open(receiver.pid, S, &NOW, &outbox));
	comes_between = &receiver;
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW), EPIPE);
	CHECK(!comes_between);
	sendfd_outbox_close(outbox);

	comes_between = &receiver;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(receiver.pid, S, &limit, &outbox));
	CHECK(!comes_between);
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &limit), EPIPE);
	sendfd_outbox_close(outbox);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

TEST_NEEDS(a_welcome_while_it_is_looked_for, ROOT)
{
	struct child guest = fork_child(is_welcomed_late, NULL);
	child_join(&guest);
}

/* --- an answer ------------------------------------------------------------------------------------------- */
static void answers(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	sendfd_info info;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_recvs(inbox, NULL, 0, NULL, 0, &info, &limit));
	CHECK_OK(sendfd_reply(info.reply, NULL, 0, "yes", 3));
	close(info.reply);
	sendfd_inbox_close(inbox);
}

/* KERNEL: Linux tells of the end in poll(), with which the asker waits, once all is queued that came before it; so that
 * there a look meets the answer. Here it meets the end alone. */
TEST(an_answer_that_the_end_hides)
{
	struct child answerer = fork_child(answers, NULL);
	child_hear(&answerer);
	sendfd_outbox *outbox;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(answerer.pid, S, &limit, &outbox));
	hides = true;
	char answer[3] = "";
	CHECK_EQ(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, answer, 3, NULL, &limit), 0);
	CHECK(!hides && memcmp(answer, "yes", 3) == 0);
	sendfd_outbox_close(outbox);
	child_join(&answerer);
}
