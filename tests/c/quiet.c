/* Inboxes without signals. */
#include "harness.h"

#include <stdatomic.h>

#define THREADS 8
#define PARCELS 8000

static pid_t target;

static uint64_t ignored_now(void)
{
	char line[256];
	unsigned long long ignored = 0;
	FILE *file = fopen("/proc/self/status", "re");
	CHECK(file);
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "SigIgn: %llx", &ignored) == 1)
			break;
	fclose(file);
	return ignored;
}

static void send_numbered(void *arg)
{
	long from = *(long *)arg;
	for (long n = from; n < from + PARCELS / 4; n++) {
		int fd = make_memfd(n);
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
		close(fd);
	}
}

TEST(touches_no_mask_and_queues_no_signal)
{
	uint64_t mask = mask_now(), ignored = ignored_now();
	target = getpid();
	long from = 0;
	for (unsigned flags = SENDFD_INBOX_NOSIGNAL; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		CHECK(mask_now() == mask && ignored_now() == ignored);
		/* with the signal unblocked and its default action a single one would kill */
		struct child sender = fork_child(send_numbered, &from);
		for (int i = 0; i < PARCELS / 4; i++)
			close(recv_soon(inbox, NULL));
		child_join(&sender);
		expect_empty(inbox);
		CHECK(!pending(S) && !pending(SIGIO));
		sendfd_inbox_close(inbox);
		CHECK(mask_now() == mask && ignored_now() == ignored);
	}
}

static sendfd_inbox *shared;
static atomic_int seen[PARCELS], taken;

static void *taker(void *arg)
{
	bool by_poll = (intptr_t)arg % 2;
	struct timespec brief = in_ms(200);
	while (atomic_load(&taken) < PARCELS) {
		struct pollfd p = {sendfd_inbox_fileno(shared), POLLIN, 0};
		if (by_poll)
			CHECK(poll(&p, 1, 200) >= 0);
		sendfd_info info;
		int fd = sendfd_recv(shared, &info, by_poll ? &NOW : &brief);
		CHECK(fd >= 0 || fd == (by_poll ? -EAGAIN : -ETIMEDOUT), "%s", errno_name(-fd));
		if (fd < 0)
			continue;
		long n = memfd_number(fd);
		CHECK(n >= 0 && n < PARCELS);
		CHECK(is_cloexec(fd) && info.nfds == 1);
		atomic_fetch_add(&seen[n], 1);
		atomic_fetch_add(&taken, 1);
		close(fd);
	}
	return NULL;
}

TEST_LIMIT(eight_threads_take_each_parcel_once, 60)
{
	pthread_t threads[THREADS];
	long from[4];
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	for (int i = 0; i < 4; i++) {
		from[i] = i * PARCELS / 4;
		fork_child(send_numbered, &from[i]);
	}
	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = thread_start(taker, (void *)i);
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
	for (int n = 0; n < PARCELS; n++)
		CHECK(atomic_load(&seen[n]) == 1, "parcel %d came %d times", n, atomic_load(&seen[n]));
	expect_empty(shared);
	sendfd_inbox_close(shared);
}

static void *sleeper(void *arg)
{
	int out = *(int *)arg;
	CHECK(write(out, "x", 1) == 1);
	int fd = CHECK_OK(sendfd_recv(shared, NULL, NULL));
	close(fd);
	CHECK(write(out, "y", 1) == 1);
	return NULL;
}

/* Every parcel wakes somebody, however many sleep. */
TEST(each_parcel_wakes_a_sleeper)
{
	int p[2];
	char byte;
	pthread_t threads[THREADS];
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	for (int round = 0; round < 20; round++) {
		shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		for (int i = 0; i < THREADS; i++)
			threads[i] = thread_start(sleeper, &p[1]);
		for (int i = 0; i < THREADS; i++)
			CHECK(read(p[0], &byte, 1) == 1 && byte == 'x');
		for (int i = 0; i < THREADS; i++) {
			CHECK_OK(sendfd(getpid(), S, 2));
			CHECK(read(p[0], &byte, 1) == 1 && byte == 'y');
		}
		for (int i = 0; i < THREADS; i++)
			thread_join(threads[i]);
		expect_empty(shared);
		sendfd_inbox_close(shared);
	}
	close(p[0]);
	close(p[1]);
}

static void *polls_forever(void *arg)
{
	struct pollfd p = {sendfd_inbox_fileno(shared), POLLIN, 0};
	CHECK(write(*(int *)arg, "x", 1) == 1);
	CHECK(poll(&p, 1, 10000) == 1 && (p.revents & POLLIN));
	return NULL;
}

/* The descriptor is level-triggered: it wakes every thread that polls it, until the mail is taken. */
TEST(the_descriptor_wakes_all_pollers)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		int p[2];
		char byte;
		pthread_t threads[4];
		CHECK(pipe2(p, O_CLOEXEC) == 0);
		shared = open_inbox(S, flags);
		for (int i = 0; i < 4; i++)
			threads[i] = thread_start(polls_forever, &p[1]);
		for (int i = 0; i < 4; i++)
			CHECK(read(p[0], &byte, 1) == 1);
		send_memfd(getpid(), 3);
		for (int i = 0; i < 4; i++)
			thread_join(threads[i]);
		for (int i = 0; i < 3; i++)
			CHECK(readable(sendfd_inbox_fileno(shared)));
		expect_number(shared, 3);
		expect_empty(shared);
		sendfd_inbox_close(shared);
		close(p[0]);
		close(p[1]);
	}
}
