/* The links that a sender keeps: how many, which one gives way, and what a send costs that has none. */
#include "harness.h"

#define THREADS 20
#define NUMBERS 20
#define MOST (THREADS * NUMBERS)
#define FIRST (S - 10)

static pid_t owners[THREADS];
static pthread_barrier_t opened, done;

/* Each thread has an inbox for each number. */
static void *stays(void *arg)
{
	intptr_t index = (intptr_t)arg;
	sendfd_inbox *inboxes[NUMBERS];
	owners[index] = (pid_t)syscall(SYS_gettid);
	for (int i = 0; i < NUMBERS; i++)
		inboxes[i] = open_inbox(FIRST + i, SENDFD_INBOX_NOSIGNAL | SENDFD_INBOX_THREAD);
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&done);
	for (int i = 0; i < NUMBERS; i++)
		sendfd_inbox_close(inboxes[i]);
	return NULL;
}

static pthread_t threads[THREADS];

static void open_all(void)
{
	need_limit(RLIMIT_NOFILE, 4096);
	pthread_barrier_init(&opened, NULL, THREADS + 1);
	pthread_barrier_init(&done, NULL, THREADS + 1);
	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = thread_start(stays, (void *)i);
	pthread_barrier_wait(&opened);
}

static void close_all(void)
{
	pthread_barrier_wait(&done);
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
}

static void send_to(int first, int past)
{
	for (int i = first; i < past; i++)
		CHECK_OK(sendfd(owners[i % THREADS], FIRST + i / THREADS, 2));
}

/* --- system calls ---------------------------------------------------------------------------------- */
struct calls {
	long connects, others;
	long by_the_clock; /* so many of the others may be */
};

/* What a child does between its marks. */
static struct calls count(void (*run)(void), rlim_t limit)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		set_limit(RLIMIT_NOFILE, limit);
		run();
		_exit(0);
	}
	struct calls calls;
	calls.connects = trace_calls(pid, SYS_connect, &calls.others);
	calls.by_the_clock = traced_ms() / 25;
	return calls;
}

static int recipients;

static void in_turn(void)
{
	send_to(0, recipients);
	be_traced();
	mark();
	send_to(0, recipients);
	send_to(0, recipients);
	mark();
}

TEST_WITH(a_quarter_of_the_descriptors_are_links, 60, PTRACE)
{
	open_all();
	recipients = 256;
	struct calls calls = count(in_turn, 1024);
	CHECK_EQ(calls.connects, 0);
	recipients = MOST;
	calls = count(in_turn, 4 * MOST);
	CHECK_EQ(calls.connects, 0);
	close_all();
}

/* The one that was idle longest gives way: of more in turn than are kept, each one. */
TEST_WITH(more_in_turn_than_are_kept, 60, PTRACE)
{
	open_all();
	recipients = 260;
	struct calls calls = count(in_turn, 1024);
	CHECK_EQ(calls.connects, 2 * recipients);
	close_all();
}

/* Those that are used stay, whoever else comes. */
static void some_are_used(void)
{
	send_to(0, 50);
	be_traced();
	for (int i = 50; i < MOST; i += 10) {
		send_to(i, i + 10);
		mark();
		send_to(0, 50);
		mark();
	}
}

TEST_WITH(what_is_used_is_kept, 60, PTRACE)
{
	open_all();
	struct calls calls = count(some_are_used, 256);
	CHECK_EQ(calls.connects, 0);
	close_all();
}

/* --- a miss ------------------------------------------------------------------------------------------ */
#define MISSES 50

static void contacts(int links)
{
	send_to(0, 1 + links);
	be_traced();
	mark();
	send_to(MOST - MISSES, MOST);
	mark();
}

static void with_few(void) { contacts(0); }
static void with_all(void) { contacts(300); }

TEST_WITH(a_first_contact_costs_the_same_with_many_links, 60, PTRACE)
{
	open_all();
	struct calls few = count(with_few, 1024), many = count(with_all, 1024);
	CHECK_EQ(few.connects, MISSES);
	CHECK_EQ(many.connects, MISSES);
	if (getenv("SENDFD_TEST_VERBOSE"))
		fprintf(stderr, "%.1f calls with few links, %.1f with many\n", (double)few.others / MISSES,
			(double)many.others / MISSES);
	CHECK(many.others <= few.others + 5 * MISSES + many.by_the_clock, "%ld, with few %ld", many.others, few.others);
	close_all();
}

/* --- the dead ------------------------------------------------------------------------------------------ */
static void dies(void *arg)
{
	(void)arg;
	sendfd_inbox *inboxes[NUMBERS];
	for (int i = 0; i < NUMBERS; i++)
		inboxes[i] = open_inbox(FIRST + i, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	for (int i = 0; i < NUMBERS; i++)
		sendfd_inbox_close(inboxes[i]);
}

/* However many there are, some first contacts later none is left. */
TEST(links_to_the_dead_are_given_up)
{
	need_limit(RLIMIT_NOFILE, 4096);
	int before = count_fds();
	struct child dying[THREADS];
	for (int i = 0; i < THREADS; i++) {
		dying[i] = fork_child(dies, NULL);
		child_hear(&dying[i]);
		for (int n = 0; n < NUMBERS; n++)
			CHECK_OK(sendfd(dying[i].pid, FIRST + n, 2));
	}
	CHECK(count_fds() >= before + MOST);
	for (int i = 0; i < THREADS; i++) {
		child_tell(&dying[i], 0);
		child_join(&dying[i]);
	}
	int contacts = 0;
	for (; count_fds() > before && contacts < MOST / 50 + 1; contacts++)
		CHECK_ERR(sendfd(getpid(), S, 2), ECONNREFUSED);
	CHECK(count_fds() <= before, "%d links after %d contacts", count_fds() - before, contacts);
}
