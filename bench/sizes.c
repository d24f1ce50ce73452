/* Parcels of several descriptors, and with bytes, against raw messages of the same size. */
#include "bench.h"

#include <sendfd.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PARCELS 64
#define MOST_FDS 252
#define MOST_BYTES 65536

static const struct timespec now = {0, 0};
static sendfd_inbox *inbox;
static int pair[2], epoll;
static int count, sent[MOST_FDS], got[MOST_FDS];
static size_t bytes;
static char data[MOST_BYTES], room[MOST_BYTES];

static void close_all(void)
{
	for (int i = 0; i < count; i++)
		close(got[i]);
}

static void by_library(int times)
{
	const pid_t self = getpid();
	sendfd_info info;

	while (times--) {
		must(sendfds(self, SENDFD_SIGNO, sent, (size_t)count, data, bytes, NULL) == 0, "sendfds");
		must(sendfd_recvs(inbox, got, MOST_FDS, room, sizeof room, &info, &now) == count &&
		     info.len == bytes, "sendfd_recvs");
		close_all();
	}
}

/* A byte stands for none: there is no message without. */
static void by_raw(int times)
{
	const size_t len = bytes ? bytes : 1;

	while (times--) {
		send_all(pair[0], data, len, sent, count);
		must(receive_all(pair[1], room, sizeof room, got, count, MSG_DONTWAIT) == len, "length");
		close_all();
	}
}

static void by_raw_and_epoll(int times)
{
	while (times--) {
		const size_t len = bytes ? bytes : 1;
		struct epoll_event event;

		send_all(pair[0], data, len, sent, count);
		must(epoll_wait(epoll, &event, 1, 0) == 1, "epoll_wait");
		must(receive_all(pair[1], room, sizeof room, got, count, MSG_DONTWAIT) == len, "length");
		close_all();
	}
}

static void row(const char *group, int value)
{
	const struct contender contenders[] = {{"sendfd", by_library}, {"raw", by_raw}, {"raw, epoll", by_raw_and_epoll}};
	char parameter[16];

	snprintf(parameter, sizeof parameter, "%d", value);
	compare(group, parameter, contenders, 3, PARCELS, THIS_THREAD);
}

void sizes(void)
{
	static const int counts[] = {1, 4, 16, 64, 252}, lengths[] = {0, 64, 4096, 65536};
	const int large = 4 * MOST_BYTES;

	must(sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) == 0, "sendfd_inbox_open");
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
	must(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof large) == 0, "SO_SNDBUF");
	epoll = epoll_of(pair[1]);
	for (int i = 0; i < MOST_FDS; i++)
		sent[i] = null_fd;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		count = counts[i];
		row("descriptors", count);
	}
	count = 1;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		bytes = (size_t)lengths[i];
		row("bytes", lengths[i]);
	}
}
