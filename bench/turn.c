/* Many recipients in turn: threads of this process with an inbox for each of several numbers; and as many socket
 * pairs with an epoll set each. */
#include "bench.h"

#include <pthread.h>
#include <sendfd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 50
#define NUMBERS 20
#define RECIPIENTS (THREADS * NUMBERS)
#define FIRST_NUMBER (SENDFD_SIGNO - NUMBERS / 2)
#define PARCELS 1000
/* Four for an inbox, and one at each end of a link; three for a pair and its epoll set. */
#define DESCRIPTORS (RECIPIENTS * 9 + 200)

static const struct timespec now = {0, 0};
static sendfd_inbox *inboxes[RECIPIENTS];
static pid_t ids[THREADS];
static pthread_barrier_t opened;
static int pairs[RECIPIENTS][2], epolls[RECIPIENTS];

static void *stays(void *arg)
{
	intptr_t thread = (intptr_t)arg;

	ids[thread] = (pid_t)syscall(SYS_gettid);
	for (int i = 0; i < NUMBERS; i++)
		must(sendfd_inbox_open(FIRST_NUMBER + i, SENDFD_INBOX_NOSIGNAL | SENDFD_INBOX_THREAD,
				       &inboxes[thread * NUMBERS + i]) == 0, "sendfd_inbox_open");
	pthread_barrier_wait(&opened);
	while (pause() < 0)
		;
	return NULL;
}

static void send_and_take(int recipients, int times)
{
	for (int i = 0, to = 0; i < times; i++, to = (to + 1) % recipients) {
		int fd;

		must(sendfd(ids[to / NUMBERS], FIRST_NUMBER + to % NUMBERS, null_fd) == 0, "sendfd");
		fd = sendfd_recv(inboxes[to], NULL, &now);
		must(fd >= 0, "sendfd_recv");
		close(fd);
	}
}

static void send_and_take_raw(int recipients, int times)
{
	for (int i = 0, to = 0; i < times; i++, to = (to + 1) % recipients) {
		int fd;

		send_one(pairs[to][0], "", 1, null_fd);
		fd = receive_one(pairs[to][1], MSG_DONTWAIT | MSG_PEEK);
		must(recv(pairs[to][1], NULL, 0, MSG_DONTWAIT | MSG_TRUNC) == 1, "recv");
		close(fd);
	}
}

#define COUNTS(number)                                                                                        \
	static void to_##number(int times) { send_and_take(number, times); }                                  \
	static void raw_##number(int times) { send_and_take_raw(number, times); }
COUNTS(1) COUNTS(10) COUNTS(100) COUNTS(1000)

void in_turn(void)
{
	const struct contender few[] = {
		{"1", to_1}, {"10", to_10}, {"100", to_100}, {"raw, 1", raw_1}, {"raw, 10", raw_10}, {"raw, 100", raw_100},
	};
	/* In each round all of them, and soon enough again that no send has to look whether the receiver lives. */
	const struct contender many[] = {{"1", to_1}, {"1000", to_1000}, {"raw, 1", raw_1}, {"raw, 1000", raw_1000}};
	pthread_t thread;

	if (!may_open(DESCRIPTORS)) {
		fprintf(stderr, "recipients in turn: RLIMIT_NOFILE is too low\n");
		return;
	}
	pthread_barrier_init(&opened, NULL, THREADS + 1);
	for (intptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&thread, NULL, stays, (void *)i) == 0, "pthread_create");
	pthread_barrier_wait(&opened);
	for (int i = 0; i < RECIPIENTS; i++) {
		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs[i]) == 0, "socketpair");
		pass_credentials(pairs[i][1]);
		epolls[i] = epoll_of(pairs[i][1]);
	}
	compare("turn", "", few, sizeof few / sizeof *few, PARCELS, THIS_THREAD);
	compare("turn", "1000", many, sizeof many / sizeof *many, PARCELS, THIS_THREAD);
}
