/* Order where a sender comes to use a second connection to the same inbox. */
#include "harness.h"

static pid_t target;

struct way {
	unsigned flags;
	bool claim;
	rlim_t queue;
};
static const struct way RECV = {0, false, 10000}, CLAIM = {0, true, 10000}, NO_QUEUE = {0, true, 0},
			QUIET = {SENDFD_INBOX_NOSIGNAL, false, 10000};

static long take_next(const struct way *way, sendfd_inbox *inbox)
{
	sigset_t set = set_of(S, SIGIO, 0);
	int fd = way->claim ? -EAGAIN : recv_soon(inbox, NULL);
	while (fd == -EAGAIN) {
		siginfo_t si;
		struct timespec limit = in_ms(5000 * (long)slower());
		CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep");
		fd = sendfd_claim(inbox, &si, NULL);
	}
	long number = memfd_number(CHECK_OK(fd));
	close(fd);
	return number;
}

/* --- a kept connection was given up in between ------------------------------------------------------- */
#define OTHERS 20
#define EARLIER 70 /* more than are taken of one link before the next one's turn */
static pid_t others[OTHERS];
static pthread_barrier_t opened, done;

static void *stays(void *arg)
{
	sendfd_inbox *inboxes[20];
	others[(intptr_t)arg] = (pid_t)syscall(SYS_gettid);
	for (int i = 0; i < 20; i++)
		inboxes[i] = open_inbox(S - 10 + i, SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL);
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&done);
	for (int i = 0; i < 20; i++)
		sendfd_inbox_close(inboxes[i]);
	return NULL;
}

static void sends_one(void *arg)
{
	send_memfd(target, *(long *)arg);
}

/* Sends some, gives the connection up by sending to very many others, and sends one more over a new one. */
static void gives_up_and_returns(void *arg)
{
	(void)arg;
	set_limit(RLIMIT_NOFILE, 1024);
	send_memfd(target, 0);
	parent_tell(0);
	parent_hear();
	int links = count_fds();
	for (long n = 1; n <= EARLIER; n++)
		send_memfd(target, n);
	for (int i = 0; i < OTHERS * 20; i++)
		CHECK_OK(sendfd(others[i / 20], S - 10 + i % 20, 2));
	CHECK(count_fds() - links < OTHERS * 20);
	send_memfd(target, EARLIER + 1);
}

static void given_up(const struct way *way)
{
	pthread_t threads[OTHERS];
	long strange = 100;
	need_limit(RLIMIT_NOFILE, 4096);
	target = getpid();
	set_limit(RLIMIT_SIGPENDING, way->queue);
	pthread_barrier_init(&opened, NULL, OTHERS + 1);
	pthread_barrier_init(&done, NULL, OTHERS + 1);
	for (intptr_t i = 0; i < OTHERS; i++)
		threads[i] = thread_start(stays, (void *)i);
	pthread_barrier_wait(&opened);
	sendfd_inbox *inbox = open_inbox(S, way->flags);
	struct child sender = fork_child(gives_up_and_returns, NULL);
	child_hear(&sender);
	CHECK_EQ(take_next(way, inbox), 0); /* its connection is accepted */
	struct child stranger = fork_child(sends_one, &strange);
	child_join(&stranger); /* somebody waits to be accepted */
	child_tell(&sender, 0);
	child_join(&sender);
	for (long i = 0, next = 1; i < EARLIER + 2; i++) {
		long number = take_next(way, inbox);
		CHECK(number == 100 || number == next, "%ld before %ld", number, next);
		next += number == next;
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	pthread_barrier_wait(&done);
	for (int i = 0; i < OTHERS; i++)
		thread_join(threads[i]);
}

TEST_LIMIT(a_connection_given_up_recv, 40) { given_up(&RECV); }
TEST_LIMIT(a_connection_given_up_claim, 40) { given_up(&CLAIM); }
TEST_LIMIT(a_connection_given_up_no_queue, 40) { given_up(&NO_QUEUE); }
TEST_LIMIT(a_connection_given_up_quiet, 40) { given_up(&QUIET); }

/* --- addressed now by pid, now by pidfd -------------------------------------------------------------- */
static void by_pid_and_pidfd(void *arg)
{
	bool first_by_pidfd = *(bool *)arg;
	int pidfd = my_pidfd_open(target);
	for (long n = 0; n < 200; n++) {
		int fd = make_memfd(n);
		CHECK_OK((n % 3 == 0) == first_by_pidfd ? sendfd_pidfd(pidfd, S, fd) : sendfd(target, S, fd));
		close(fd);
		if (n % 20 == 0) {
			parent_tell(n);
			parent_hear();
		}
	}
	parent_tell(-1);
	close(pidfd);
}

static void by_both(const struct way *way)
{
	target = getpid();
	set_limit(RLIMIT_SIGPENDING, way->queue);
	for (int first = 0; first < 2; first++) {
		bool by_pidfd = first;
		sendfd_inbox *inbox = open_inbox(S, way->flags);
		struct child sender = fork_child(by_pid_and_pidfd, &by_pidfd);
		for (long next = 0, sent; (sent = child_hear(&sender)) >= 0;) {
			child_tell(&sender, 0);
			for (; next <= sent; next++)
				CHECK_EQ(take_next(way, inbox), next);
		}
		child_join(&sender);
		for (long next = 181; next < 200; next++)
			CHECK_EQ(take_next(way, inbox), next);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

TEST_NEEDS(by_pid_and_by_pidfd_recv, PIDFD) { by_both(&RECV); }
TEST_NEEDS(by_pid_and_by_pidfd_claim, PIDFD) { by_both(&CLAIM); }
TEST_NEEDS(by_pid_and_by_pidfd_no_queue, PIDFD) { by_both(&NO_QUEUE); }
TEST_NEEDS(by_pid_and_by_pidfd_quiet, PIDFD) { by_both(&QUIET); }
