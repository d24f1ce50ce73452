/* Threads that send at once: all to one inbox, and each to one of its own. The receiver takes meanwhile. */
#include "bench.h"

#include <pthread.h>
#include <sendfd.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define MOST 8
#define PARCELS 2000 /* of each thread */
#define FIRST_NUMBER 36

static sendfd_inbox *inboxes[MOST];
static pthread_barrier_t begin;
static int senders;
static bool one_each;

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

/* What one parcel takes, all threads together. */
static double once(void)
{
	pthread_t threads_of[MOST];
	double start;

	pthread_barrier_init(&begin, NULL, (unsigned)senders + 1);
	for (intptr_t i = 0; i < senders; i++)
		must(pthread_create(&threads_of[i], NULL, sends_and_takes, (void *)i) == 0, "pthread_create");
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
	char name[64];

	for (int i = 0; i < MOST; i++)
		must(sendfd_inbox_open(FIRST_NUMBER + i, SENDFD_INBOX_NOSIGNAL, &inboxes[i]) == 0, "an inbox");
	for (int each = 0; each < 2; each++) {
		one_each = each;
		for (senders = 1; senders <= MOST; senders++) {
			snprintf(name, sizeof name, "%d to %s", senders, each ? "one each" : "one");
			report("threads", name, best(), "ns");
		}
	}
}
