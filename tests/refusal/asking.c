/* Outboxes, requests and answers. */
#include "ways.h"

#include <poll.h>
#include <sys/syscall.h>

static sendfd_outbox *outbox;
static int target_pidfd = -1;

/* --- the peer receives and answers ---------------------------------------------------------------- */
/* Answers each request with the number 7; takes what is none. Told 1: says how many parcels it has taken since.
 * Told 0: ends. */
static void answers_on(int from, int to, sendfd_inbox *mine, int at_first)
{
	for (int taken = 0, told = 1; told;) {
		struct pollfd both[] = {{from, POLLIN, 0}, {sendfd_inbox_fileno(mine), POLLIN, 0}};
		int fds[8], n;
		sendfd_info info;
		NEED(poll(both, 2, -1) > 0);
		while ((n = sendfd_recvs(mine, fds, 8, (char[8192]){0}, 8192, &info, &NOW)) >= 0) {
			while (n > 0)
				close(fds[--n]);
			if (info.reply >= 0) {
				int fd = numbered(7), result = sendfd_reply(info.reply, &fd, 1, "yes", 3);
				NEED(result == 0 || result == -EPIPE);
				close(fd);
				close(info.reply);
			} else {
				taken++;
			}
		}
		NEED(n == -EAGAIN);
		if (both[0].revents && (told = hear(from)) == 1) {
			tell(to, taken);
			taken = 0;
		}
	}
	sendfd_inbox_close(mine);
	NEED(count_fds() == at_first);
}

static void answers(int from, int to)
{
	int at_first = count_fds();
	sendfd_inbox *mine;
	NEED(sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, &mine) == 0);
	tell(to, 0);
	answers_on(from, to, mine, at_first);
}

static void answers_late(int from, int to)
{
	int at_first = count_fds();
	sendfd_inbox *mine;
	tell(to, 0);
	poll(NULL, 0, 20);
	NEED(sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, &mine) == 0);
	answers_on(from, to, mine, at_first);
}

/* Takes nothing. */
static void idles(int from, int to)
{
	sendfd_inbox *mine;
	NEED(sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, &mine) == 0);
	tell(to, 0);
	hear(from);
	sendfd_inbox_close(mine);
}

static void prepare_with(void (*part)(int, int))
{
	start_peer(part);
	hear(from_peer);
	outbox = NULL;
	target_pidfd = -1;
	before = count_fds();
}

static void a_receiver(void) { prepare_with(answers); }
static void a_late_receiver(void) { prepare_with(answers_late); }

static void a_receiver_by_pidfd(void)
{
	a_receiver();
	target_pidfd = (int)syscall(SYS_pidfd_open, peer, 0);
	NEED(target_pidfd >= 0);
}

static void an_outbox(void)
{
	a_receiver();
	NEED(sendfd_outbox_open(peer, S, &SOON, &outbox) == 0);
}

static void a_rested_outbox(void)
{
	an_outbox();
	poll(NULL, 0, 130);
}

static void an_idle_receiver(void)
{
	prepare_with(idles);
	NEED(sendfd_outbox_open(peer, S, &SOON, &outbox) == 0);
	NEED(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW) == 0);
}

static void a_dead_receiver(void)
{
	an_idle_receiver();
	tell(to_peer, 0);
	end_peer();
}

static int open_it(void) { return sendfd_outbox_open(peer, S, &SOON, &outbox); }
static int open_by_pidfd(void) { return sendfd_outbox_open_pidfd(target_pidfd, S, &SOON, &outbox); }
static int send_one(void) { return sendfd_outbox_send(outbox, (int[]){2, 2}, 2, "some bytes", 10, &SOON); }
static int wait_briefly(void) { return sendfd_outbox_wait_taken(outbox, &BRIEFLY); }

static int fetched;
static int ask(void)
{
	char said[3];
	fetched = -1;
	return sendfd_outbox_request(outbox, NULL, 0, "x", 1, &fetched, 1, said, sizeof said, NULL, &SOON);
}

static int taken_at_peer(void)
{
	NEED(sendfd_outbox_wait_taken(outbox, &SOON) == 0);
	tell(to_peer, 1);
	return hear(from_peer);
}

/* It works now, whatever was refused, and nothing is left open. */
static void works_and_ends(void)
{
	NEED(send_one() == 0);
	NEED(taken_at_peer() == 1);
	NEED(ask() == 1 && number_of(fetched) == 7);
	sendfd_outbox_close(outbox);
	if (target_pidfd >= 0)
		close(target_pidfd);
	NEED(count_fds() == before);
	tell(to_peer, 0);
	end_peer();
}

static void is_open(int result)
{
	NEED((result < 0) == !outbox);
	if (result < 0)
		NEED(sendfd_outbox_open(peer, S, &SOON, &outbox) == 0);
	works_and_ends();
}

/* An outbox never connects anew: where it was told that the receiver is gone, another one is opened. */
static void anew_if_gone(int result)
{
	if (result == -EPIPE || result == -ECONNRESET) {
		sendfd_outbox_close(outbox);
		outbox = NULL;
		NEED(sendfd_outbox_open(peer, S, &SOON, &outbox) == 0);
	}
}

static void is_sent(int result)
{
	anew_if_gone(result);
	NEED(taken_at_peer() == (result == 0));
	works_and_ends();
}

static void is_answered(int result)
{
	if (result == 1)
		NEED(number_of(fetched) == 7);
	anew_if_gone(result);
	works_and_ends();
}

static void is_not_taken(int result)
{
	NEED(result == -ETIMEDOUT || result == -ECONNRESET || sendfd_outbox_wait_taken(outbox, &NOW) == -EAGAIN);
	NEED(result < 0);
	sendfd_outbox_close(outbox);
	NEED(count_fds() == before);
	tell(to_peer, 0);
	end_peer();
}

static void is_lost(int result)
{
	NEED(result < 0);
	NEED(sendfd_outbox_wait_taken(outbox, &NOW) == -ECONNRESET);
	sendfd_outbox_close(outbox);
	NEED(count_fds() == before - 2); /* the pipes of the peer */
}

/* --- the peer asks ------------------------------------------------------------------------------------ */
static void asks(int from, int to)
{
	sendfd_outbox *mine;
	/* Longer than the other side, which may see nothing until its own time is up. */
	static const struct timespec patience = {15, 0};
	NEED(hear(from) == 1);
	NEED(sendfd_outbox_open(getppid(), S, &SOON, &mine) == 0);
	int fd, result = sendfd_outbox_request(mine, NULL, 0, "x", 1, &fd, 1, NULL, 0, NULL, &patience);
	tell(to, result == 1 ? number_of(fd) : result);
	NEED(hear(from) == 0);
	sendfd_outbox_close(mine);
}

static sendfd_info request;
static int answer_fd;

static int take_request(void) { return sendfd_recvs(inbox, NULL, 0, (char[10]){0}, 10, &request, &SOON); }
static int reply(void) { return sendfd_reply(request.reply, &answer_fd, 1, NULL, 0); }

static void a_request(void)
{
	note_before();
	NEED(sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, &inbox) == 0);
	start_peer(asks);
	tell(to_peer, 1);
	struct pollfd mail = {sendfd_inbox_fileno(inbox), POLLIN, 0};
	NEED(poll(&mail, 1, 5000) == 1);
	answer_fd = numbered(7);
}

static void a_taken_request(void)
{
	a_request();
	NEED(take_request() == 0 && request.reply >= 0);
}

static void is_replied(int result)
{
	if (result < 0)
		NEED(reply() == 0);
	NEED(hear(from_peer) == 7);
	close(answer_fd);
	close(request.reply);
	close_and_compare();
}

/* Taken; or still there; or its connection is closed, and the asker knows. */
static void is_received(int result)
{
	if (result < 0 && take_request() < 0) {
		NEED(hear(from_peer) == -ECONNRESET);
		close(answer_fd);
		close_and_compare();
		return;
	}
	NEED(request.reply >= 0);
	is_replied(reply());
}

const struct path ASKING[] = {
	{"outbox", "sendfd_outbox_open", a_receiver, open_it, is_open, OLD_TOO},
	{"outbox-that-waits", "sendfd_outbox_open", a_late_receiver, open_it, is_open, ALWAYS},
	{"outbox-by-pidfd", "sendfd_outbox_open_pidfd", a_receiver_by_pidfd, open_by_pidfd, is_open, NEEDS_PIDFD},
	{"send-by-outbox", "sendfd_outbox_send", an_outbox, send_one, is_sent, ALWAYS},
	{"send-by-outbox-after-a-rest", "sendfd_outbox_send", a_rested_outbox, send_one, is_sent, OLD_TOO},
	{"wait-taken", "sendfd_outbox_wait_taken", an_idle_receiver, wait_briefly, is_not_taken, OLD_TOO},
	{"wait-taken-by-the-dead", "sendfd_outbox_wait_taken", a_dead_receiver, wait_briefly, is_lost, ALWAYS},
	{"request", "sendfd_outbox_request", an_outbox, ask, is_answered, ALWAYS},
	{"take-request", "sendfd_recvs", a_request, take_request, is_received, ALWAYS},
	{"reply", "sendfd_reply", a_taken_request, reply, is_replied, ALWAYS},
	{NULL, NULL, NULL, NULL, NULL, ALWAYS},
};
