/* What it takes to ask another process for a descriptor, on one processor: with the library; by hand, a byte
 * each way over a socket pair that both have, and the descriptor with the second; by hand over a new pair each,
 * as the library does it; and with pidfd_getfd(), two pipes saying which. */
#include "bench.h"

#include "sendfd.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct asked {
	pid_t pid;
	int to, from; /* this process's ends */
	sendfd_outbox *outbox;
	int pidfd;
};

/* --- the answerers, each a process of its own ------------------------------------------------------- */
static void answer_by_library(int fd, int from, int to)
{
	sendfd_inbox *inbox;
	sendfd_info info;
	char byte = 0;

	(void)from;
	must(sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) == 0, "sendfd_inbox_open");
	must(write(to, &byte, 1) == 1, "write");
	while (sendfd_recvs(inbox, NULL, 0, &byte, 1, &info, NULL) == 0) {
		must(sendfd_reply(info.reply, &fd, 1, NULL, 0) == 0, "sendfd_reply");
		close(info.reply);
	}
}

static void answer_by_hand(int fd, int from, int to)
{
	char byte = 0;

	must(write(to, &byte, 1) == 1, "write");
	while (read(from, &byte, 1) == 1)
		send_one(to, &byte, 1, fd);
}

/* Whether nothing waits there, and nothing will; of a socket that asks for credentials, without which an empty message
 * looks the same. */
static bool is_at_its_end(int socket)
{
	struct msghdr message = {0};

	return recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT) == 0 && !(message.msg_flags & MSG_CTRUNC);
}

/* Nothing is in a place that whoever closes it would wait for, nor can be put there. */
static bool can_be_closed(int place)
{
	struct sockaddr at;
	socklen_t len = sizeof at;
	const int off = 0;
	bool empty;

	if (getpeername(place, &at, &len) != 0 || at.sa_family != AF_UNIX)
		return false;
	pass_credentials(place);
	shutdown(place, SHUT_RD);
	empty = is_at_its_end(place);
	return setsockopt(place, SOL_SOCKET, SO_PASSCRED, &off, sizeof off) == 0 && empty;
}

/* With the calls that a request's promises need: the place goes with it, and closes with the answerer; who answered
 * is known; a full table loses nothing; no close can block. */
static void answer_over_pair(int fd, int from, int to)
{
	char byte = 0;

	must(write(to, &byte, 1) == 1, "write");
	for (int place;;) {
		place = receive_one(from, MSG_PEEK);
		must(can_be_closed(place), "a place");
		must(recv(from, NULL, 0, MSG_TRUNC) == 1, "recv");
		send_one(place, &byte, 1, fd);
		shutdown(place, SHUT_WR);
		close(place);
	}
}

static void tell_the_number(int fd, int from, int to)
{
	char byte = 0;

	must(write(to, &byte, 1) == 1, "write");
	while (read(from, &byte, 1) == 1)
		must(write(to, &fd, sizeof fd) == sizeof fd, "write");
}

/* --- asking ------------------------------------------------------------------------------------------- */
static int ask_by_library(const struct asked *asked)
{
	int fd;

	must(sendfd_outbox_request(asked->outbox, NULL, 0, "x", 1, &fd, 1, NULL, 0, NULL, NULL) == 1,
	     "sendfd_outbox_request");
	return fd;
}

static int ask_by_hand(const struct asked *asked)
{
	must(write(asked->to, "x", 1) == 1, "write");
	return receive_one(asked->from, 0);
}

static int ask_over_pair(const struct asked *asked)
{
	struct pollfd polled = {.events = POLLIN};
	int ends[2], fd;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "socketpair");
	pass_credentials(ends[0]);
	send_one(asked->to, "x", 1, ends[1]);
	close(ends[1]);
	polled.fd = ends[0];
	must(poll(&polled, 1, -1) == 1, "poll");
	fd = receive_one(ends[0], MSG_PEEK);
	must(recv(ends[0], NULL, 0, MSG_TRUNC) == 1, "recv");
	if (!is_at_its_end(ends[0])) {
		shutdown(ends[0], SHUT_RD);
		must(is_at_its_end(ends[0]), "one answer");
	}
	close(ends[0]);
	return fd;
}

static int ask_for_the_number(const struct asked *asked)
{
	int number, fd;

	must(write(asked->to, "x", 1) == 1, "write");
	must(read(asked->from, &number, sizeof number) == sizeof number, "read");
	fd = (int)syscall(SYS_pidfd_getfd, asked->pidfd, number, 0);
	must(fd >= 0, "pidfd_getfd");
	return fd;
}

enum { LIBRARY, PAIR, HAND, GETFD, WAYS };
static const struct {
	void (*answer)(int fd, int from, int to);
	int (*ask)(const struct asked *asked);
} ways[WAYS] = {
	{answer_by_library, ask_by_library},
	{answer_over_pair, ask_over_pair},
	{answer_by_hand, ask_by_hand},
	{tell_the_number, ask_for_the_number},
};

static struct asked begin(int way, int fd)
{
	struct asked asked = {0};
	int pair[2];
	char byte;
	const int kind = way == HAND || way == PAIR ? SOCK_SEQPACKET : SOCK_STREAM;

	must(socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	asked.pid = fork();
	must(asked.pid >= 0, "fork");
	if (asked.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		ways[way].answer(fd, pair[1], pair[1]);
		_exit(0);
	}
	close(pair[1]);
	asked.to = asked.from = pair[0];
	must(read(pair[0], &byte, 1) == 1, "the answerer");
	if (way == LIBRARY)
		must(sendfd_outbox_open(asked.pid, SENDFD_SIGNO, NULL, &asked.outbox) == 0, "sendfd_outbox_open");
	asked.pidfd = (int)syscall(SYS_pidfd_open, asked.pid, 0);
	return asked;
}

static bool may_getfd(const struct asked *asked)
{
	int fd = (int)syscall(SYS_pidfd_getfd, asked->pidfd, 0, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static struct asked asked_of[WAYS];

static void ask(int way, int times)
{
	while (times--)
		close(ways[way].ask(&asked_of[way]));
}

static void by_library(int times) { ask(LIBRARY, times); }
static void by_pair(int times) { ask(PAIR, times); }
static void by_hand(int times) { ask(HAND, times); }
static void by_getfd(int times) { ask(GETFD, times); }

void requests(void)
{
	const struct contender contenders[WAYS] = {
		{"sendfd", by_library}, {"by hand, a pair each", by_pair}, {"by hand, a standing pair", by_hand},
		{"getfd", by_getfd}};

	for (int way = 0; way < WAYS; way++)
		asked_of[way] = begin(way, null_fd);
	compare("requests", "", contenders, may_getfd(&asked_of[GETFD]) ? WAYS : GETFD, 100, THE_WALL);
	for (int way = 0; way < WAYS; way++)
		kill(asked_of[way].pid, SIGKILL);
	sendfd_outbox_close(asked_of[LIBRARY].outbox);
}
