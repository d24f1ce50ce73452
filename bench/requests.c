/* What it takes to ask another process for a descriptor, on one processor: with the library; by hand, a byte
 * each way over a socket pair that both have, and the descriptor with the second; and with pidfd_getfd(),
 * two pipes saying which. */
#include "bench.h"

#include "sendfd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 200
#define REQUESTS 100 /* of each way in a round */
#define TARGET 1.6

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

static int ask_for_the_number(const struct asked *asked)
{
	int number, fd;

	must(write(asked->to, "x", 1) == 1, "write");
	must(read(asked->from, &number, sizeof number) == sizeof number, "read");
	fd = (int)syscall(SYS_pidfd_getfd, asked->pidfd, number, 0);
	must(fd >= 0, "pidfd_getfd");
	return fd;
}

enum { LIBRARY, HAND, GETFD, WAYS };
static const struct {
	void (*answer)(int fd, int from, int to);
	int (*ask)(const struct asked *asked);
} ways[WAYS] = {
	{answer_by_library, ask_by_library},
	{answer_by_hand, ask_by_hand},
	{tell_the_number, ask_for_the_number},
};

static struct asked begin(int way, int fd)
{
	struct asked asked = {0};
	int pair[2];
	char byte;
	const int kind = way == HAND ? SOCK_SEQPACKET : SOCK_STREAM;

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

static double wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static bool may_getfd(const struct asked *asked)
{
	int fd = (int)syscall(SYS_pidfd_getfd, asked->pidfd, 0, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void table_of_requests(int fd)
{
	static double times[WAYS][ROUNDS], ratios[ROUNDS];
	struct asked asked[WAYS];
	int count = WAYS;

	for (int way = 0; way < WAYS; way++)
		asked[way] = begin(way, fd);
	if (!may_getfd(&asked[GETFD]))
		count = GETFD;
	for (int round = -ROUNDS / 10; round < ROUNDS; round++) {
		for (int i = 0; i < count; i++) {
			int way = round % 2 ? count - 1 - i : i;
			double start = wall_ns();

			for (int n = 0; n < REQUESTS; n++)
				close(ways[way].ask(&asked[way]));
			if (round >= 0)
				times[way][round] = (wall_ns() - start) / REQUESTS;
		}
	}
	for (int way = 0; way < WAYS; way++)
		kill(asked[way].pid, SIGKILL);
	sendfd_outbox_close(asked[LIBRARY].outbox);

	printf("\na request and its answer with a descriptor, two processes on one processor: ");
	for (int to = HAND; to < count; to++) {
		for (int round = 0; round < ROUNDS; round++)
			ratios[round] = times[LIBRARY][round] / times[to][round];
		double ratio = median(ratios, ROUNDS);

		if (to == HAND)
			printf("%.2f of a byte each way and the descriptor by hand (at most %.1f: %s)", ratio, TARGET,
			       ratio > TARGET ? "missed" : "met");
		else
			printf(", %.2f of pidfd_getfd with a pipe to say which", ratio);
	}
	printf("; %.0f ns\n", median(times[LIBRARY], ROUNDS));
	if (count < WAYS)
		printf("pidfd_getfd is not allowed here\n");
}
