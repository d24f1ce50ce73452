/* Threads that send and take at once: all at one inbox, each at one of its own, and each at a socket pair of its own
 * with the same calls by hand. */
#include "bench.h"

#include <pthread.h>
#include <sendfd.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 8
#define PARCELS 2000 /* of each thread */
#define FIRST_NUMBER 36

static sendfd_inbox *inboxes[MOST];
static pthread_barrier_t begin;
static int senders, pairs[MOST][2];
static bool one_each;
static void *(*work)(void *);

static void *sends_and_takes(void *arg)
{
	const struct timespec now = {0, 0};
	const int number = one_each ? (int)(intptr_t)arg : 0;
	const pid_t self = getpid();

	pthread_barrier_wait(&begin);
	for (int i = 0; i < PARCELS; i++) {
		int fd;

		must(sendfd(self, FIRST_NUMBER + number, null_fd) == 0, "sendfd");
		while ((fd = sendfd_recv(inboxes[number], NULL, &now)) < 0)
			; /* another thread has taken ours, and leaves us its own */
		close(fd);
	}
	return NULL;
}

static void *sends_and_takes_raw(void *arg)
{
	const int *pair = pairs[(intptr_t)arg];

	pthread_barrier_wait(&begin);
	for (int i = 0; i < PARCELS; i++) {
		int fd;

		send_one(pair[0], "", 1, null_fd);
		fd = receive_one(pair[1], MSG_DONTWAIT | MSG_PEEK);
		must(recv(pair[1], NULL, 0, MSG_DONTWAIT | MSG_TRUNC) == 1, "recv");
		close(fd);
	}
	return NULL;
}

/* What one parcel takes, all threads together. */
static double once(void)
{
	pthread_t threads_of[MOST];
	double start;

	pthread_barrier_init(&begin, NULL, (unsigned)senders + 1);
	for (intptr_t i = 0; i < senders; i++)
		must(pthread_create(&threads_of[i], NULL, work, (void *)i) == 0, "pthread_create");
	start = wall_ns(); /* nobody begins before this thread is there */
	pthread_barrier_wait(&begin);
	for (int i = 0; i < senders; i++)
		pthread_join(threads_of[i], NULL);
	pthread_barrier_destroy(&begin);
	return (wall_ns() - start) / (senders * PARCELS);
}

static double best(void)
{
	double least = once();

	for (int i = 0; i < rounds / 10; i++) {
		double this = once();

		least = this < least ? this : least;
	}
	return least;
}

void threads(void)
{
	static const struct {
		const char *name;
		void *(*work)(void *);
		bool one_each;
	} ways[] = {{"to one", sends_and_takes, false}, {"to one each", sends_and_takes, true},
		    {"raw, to one each", sends_and_takes_raw, true}};
	char name[64];

	for (int i = 0; i < MOST; i++) {
		must(sendfd_inbox_open(FIRST_NUMBER + i, SENDFD_INBOX_NOSIGNAL, &inboxes[i]) == 0, "an inbox");
		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs[i]) == 0, "socketpair");
		pass_credentials(pairs[i][1]);
		epoll_of(pairs[i][1]);
	}
	for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
		work = ways[way].work;
		one_each = ways[way].one_each;
		for (senders = 1; senders <= MOST; senders++) {
			snprintf(name, sizeof name, "%d %s", senders, ways[way].name);
			report("threads", name, best(), "ns");
		}
	}
}
