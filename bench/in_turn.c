/* The library, and 1,000 recipients in turn: threads of this process with an inbox for each number. */
#include "bench.h"

#include <pthread.h>
#include <sendfd.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 50
#define NUMBERS 20
#define RECIPIENTS (THREADS * NUMBERS)
#define FIRST_NUMBER (SENDFD_SIGNO - NUMBERS / 2)
/* Four for an inbox, and one at each end of a link. */
#define DESCRIPTORS (RECIPIENTS * 6 + 200)

static const struct timespec now = {0, 0};
static sendfd_inbox *inboxes[RECIPIENTS];
static pid_t threads[THREADS];
static pthread_barrier_t opened;
static int next_put, next_take;

static void *stays(void *arg)
{
	intptr_t thread = (intptr_t)arg;

	threads[thread] = (pid_t)syscall(SYS_gettid);
	for (int i = 0; i < NUMBERS; i++)
		must(sendfd_inbox_open(FIRST_NUMBER + i, SENDFD_INBOX_NOSIGNAL | SENDFD_INBOX_THREAD,
				       &inboxes[thread * NUMBERS + i]) == 0, "sendfd_inbox_open");
	pthread_barrier_wait(&opened);
	while (pause() < 0)
		;
	return NULL;
}

static void put(int fd)
{
	int to = next_put++ % RECIPIENTS;

	must(sendfd(threads[to / NUMBERS], FIRST_NUMBER + to % NUMBERS, fd) == 0, "sendfd");
}

static int take(void)
{
	int fd = sendfd_recv(inboxes[next_take++ % RECIPIENTS], NULL, &now);

	must(fd >= 0, "sendfd_recv");
	return fd;
}

static void set_up(void)
{
	struct rlimit files;
	pthread_t thread;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
	pthread_barrier_init(&opened, NULL, THREADS + 1);
	for (intptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&thread, NULL, stays, (void *)i) == 0, "pthread_create");
	pthread_barrier_wait(&opened);
	for (int i = 0; i < RECIPIENTS; i++) {
		put(0);
		close(take());
	}
}

bool in_turn_is_possible(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max >= DESCRIPTORS;
}

const struct way in_turn = {"in-turn", set_up, put, take};
