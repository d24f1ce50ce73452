/* Threads: those that know nothing of the inbox, those that have one each, those that share one. */
#include "harness.h"

#include <stdatomic.h>

#define THREADS 8

static pid_t target;
static atomic_bool stop;

static void flood(void *arg)
{
	int count = *(int *)arg;
	int fd = make_memfd(1);
	for (int i = 0; i < count; i++)
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
}

/* A thread that has the signals unblocked, with the default action that it was started with. */
static void *bystander(void *arg)
{
	sigset_t set = set_of(S, SIGIO, 0), old;
	CHECK(pthread_sigmask(SIG_UNBLOCK, &set, &old) == 0);
	(void)arg;
	for (int i = 0; i < 20; i++) {
		poll(NULL, 0, 0);
		sched_yield();
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		pthread_t threads[4];
		for (int i = 0; i < 4; i++)
			threads[i] = thread_start(bystander, NULL);
		for (int i = 0; i < 4; i++)
			thread_join(threads[i]);
	}
	return NULL;
}

static void receive_among_bystanders(unsigned flags, rlim_t queue)
{
	pthread_t churn[2];
	int count = 5000;
	if (queue) {
		if (geteuid() == 0)
			become(lonely_uid());
		set_limit(RLIMIT_SIGPENDING, queue);
	}
	atomic_store(&stop, false);
	sendfd_inbox *inbox = open_inbox(S, flags);
	target = flags & SENDFD_INBOX_THREAD ? (pid_t)syscall(SYS_gettid) : getpid();
	for (int i = 0; i < 2; i++)
		churn[i] = thread_start(come_and_go, NULL);
	struct child senders[2] = {fork_child(flood, &count), fork_child(flood, &count)};
	for (int i = 0; i < 2 * count; i++)
		expect_number(inbox, 1);
	for (int i = 0; i < 2; i++)
		child_join(&senders[i]);
	expect_empty(inbox);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(churn[i]);
	sendfd_inbox_close(inbox);
}

static void *receive_in_a_thread(void *arg)
{
	receive_among_bystanders(SENDFD_INBOX_THREAD, (rlim_t)(intptr_t)arg);
	return NULL;
}

TEST_LIMIT(bystanders_live_main_thread, 60) { receive_among_bystanders(0, 0); }
TEST_LIMIT(bystanders_live_small_queue, 60) { receive_among_bystanders(0, 8); }
TEST_LIMIT(bystanders_live_other_thread, 60) { thread_join(thread_start(receive_in_a_thread, NULL)); }
TEST_LIMIT(bystanders_live_other_thread_small_queue, 60)
{
	thread_join(thread_start(receive_in_a_thread, (void *)4));
}

static void *main_inbox_from_thread(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, *(unsigned *)arg);
	target = getpid();
	int count = 300;
	struct child sender = fork_child(flood, &count);
	for (int i = 0; i < count; i++)
		expect_number(inbox, 1);
	child_join(&sender);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	return NULL;
}

/* The inbox of the process, opened by a thread that is not its first. */
TEST(process_inbox_opened_by_a_thread)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		thread_join(thread_start(main_inbox_from_thread, &flags));
}

/* --- eight inboxes, all send to all ----------------------------------------------------------- */
static pid_t tids[THREADS];
static unsigned all_flags;
static pthread_barrier_t barrier;
#define ROUNDS 30 /* all threads of a process share one link to an inbox: 240 parcels have room in it */

static void *one_of_eight(void *arg)
{
	long me = (long)(intptr_t)arg;
	int next[THREADS] = {0};
	tids[me] = (pid_t)syscall(SYS_gettid);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD | all_flags);
	pthread_barrier_wait(&barrier);
	for (int round = 0; round < ROUNDS; round++) {
		int fd = make_memfd(me * 1000 + round);
		for (int to = 0; to < THREADS; to++)
			CHECK_OK(sendfd(tids[to], S, fd));
		close(fd);
	}
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		sendfd_info info;
		int fd = recv_soon(inbox, &info);
		long from = memfd_number(fd) / 1000;
		CHECK(from >= 0 && from < THREADS);
		CHECK_EQ(info.pid, getpid());
		close(fd);
		next[from]++;
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(next[i], ROUNDS);
	expect_empty(inbox);
	pthread_barrier_wait(&barrier);
	sendfd_inbox_close(inbox);
	return NULL;
}

static void all_to_all(unsigned flags)
{
	pthread_t threads[THREADS];
	all_flags = flags;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = thread_start(one_of_eight, (void *)i);
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
}

TEST(eight_inboxes_all_to_all) { all_to_all(0); }
TEST(eight_quiet_inboxes_all_to_all) { all_to_all(SENDFD_INBOX_NOSIGNAL); }

/* --- the thread that opened it ---------------------------------------------------------------- */
static sendfd_inbox *left;

static void *opens_and_leaves(void *arg)
{
	left = open_inbox(S, *(unsigned *)arg);
	tids[0] = (pid_t)syscall(SYS_gettid);
	send_memfd(*(unsigned *)arg & SENDFD_INBOX_THREAD ? tids[0] : getpid(), 4);
	return NULL;
}

static void *exits_in_the_middle(void *arg)
{
	opens_and_leaves(arg);
	pthread_exit(NULL);
}

/* Senders learn that the thread is gone; nothing of it is left but the pointer. */
TEST(a_thread_that_ends_closes_its_inbox)
{
	void *(*ways[])(void *) = {opens_and_leaves, exits_in_the_middle};
	for (unsigned flags = 0; flags <= SENDFD_INBOX_THREAD; flags++)
		for (int way = 0; way < 2; way++) {
			thread_join(thread_start(ways[way], &flags));
			int result = sendfd(getpid(), S, 2);
			CHECK(result == -ECONNREFUSED, "%s", errno_name(-result));
			CHECK_ERR(sendfd_recv(left, NULL, NULL), EPERM);
			CHECK_ERR(sendfds(getpid(), S, (int[]){2}, 1, NULL, 0, NULL), ECONNREFUSED);
			sendfd_inbox *again = open_inbox(S, 0); /* the name is free */
			sendfd_inbox_close(again);
			sendfd_inbox_close(left);
		}
}

static void *closes(void *inbox)
{
	sendfd_inbox_close(inbox);
	return NULL;
}

/* Closed by a thread that did not open it: the mask stays, and the number can be used again. */
TEST(closed_by_another_thread)
{
	uint64_t before = mask_now();
	for (int i = 0; i < 3; i++) {
		sendfd_inbox *inbox = open_inbox(S, 0);
		int fd = make_memfd(i);
		CHECK_OK(sendfd(getpid(), S, fd));
		thread_join(thread_start(closes, inbox));
		CHECK_ERR(sendfd(getpid(), S, fd), ECONNREFUSED);
		inbox = open_inbox(S, 0);
		CHECK_OK(sendfd(getpid(), S, fd));
		close(fd);
		expect_number(inbox, i);
		sendfd_inbox_close(inbox);
		CHECK_EQ(mask_now(), before);
		CHECK(!pending(S) && !pending(SIGIO));
	}
}

/* A quiet inbox belongs to nobody: it outlives the thread that opened it. */
TEST(a_quiet_inbox_outlives_its_thread)
{
	unsigned flags = SENDFD_INBOX_NOSIGNAL;
	thread_join(thread_start(opens_and_leaves, &flags));
	expect_number(left, 4);
	send_memfd(getpid(), 5);
	expect_number(left, 5);
	expect_empty(left);
	sendfd_inbox_close(left);
}

static void *sends_all_the_time(void *arg)
{
	int fd = make_memfd(1);
	(void)arg;
	while (!atomic_load(&stop)) {
		int result = sendfd(target, S, fd);
		CHECK(result == 0 || result == -EAGAIN || result == -ECONNREFUSED, "%s", errno_name(-result));
	}
	close(fd);
	return NULL;
}

/* Inboxes are opened and closed while others send to them: every descriptor is released. */
TEST(open_and_close_under_fire)
{
	pthread_t senders[4];
	struct witness w = make_witness();
	target = getpid();
	for (int i = 0; i < 4; i++)
		senders[i] = thread_start(sends_all_the_time, NULL);
	for (unsigned i = 0; i < 300; i++) {
		sendfd_inbox *inbox = open_inbox(S, i % 2 ? SENDFD_INBOX_NOSIGNAL : 0);
		int result = sendfd(getpid(), S, w.sent);
		CHECK(result == 0 || result == -EAGAIN || result == -ECONNREFUSED, "%s", errno_name(-result));
		for (unsigned n = 0; n < i % 7; n++) {
			int fd = sendfd_recv(inbox, NULL, &NOW);
			CHECK(fd >= 0 || fd == -EAGAIN, "%s", errno_name(-fd));
			if (fd >= 0)
				close(fd);
		}
		sendfd_inbox_close(inbox);
		CHECK(!pending(S));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		thread_join(senders[i]);
	close(w.sent);
	CHECK(witness_released(w.end, 5000));
	close(w.end);
}
