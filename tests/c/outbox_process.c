/* An outbox in its process: polled, inherited by children, shared by threads, interrupted; and what a wait costs. */
#include "receiver.h"

#include <stdatomic.h>

static short polled(int fd, short events)
{
	struct pollfd p = {fd, events, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(its_descriptor_tells_of_room_and_of_the_end)
{
	struct child child = start_receiver(SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	int fd = CHECK_OK(sendfd_outbox_fileno(outbox)), sent = 0, memfd = make_memfd(1), result;
	CHECK(is_cloexec(fd));
	CHECK_EQ(polled(fd, POLLOUT), POLLOUT);
	while ((result = sendfd_outbox_send(outbox, &memfd, 1, NULL, 0, &NOW)) == 0)
		sent++;
	CHECK_EQ(result, -EAGAIN);
	CHECK_EQ(polled(fd, POLLOUT), 0);
	struct timespec brief = in_ms(30);
	CHECK_TIMES_OUT(sendfd_outbox_send(outbox, &memfd, 1, NULL, 0, &brief), 30);
	CHECK_TIMES_OUT(sendfd_outbox_wait_taken(outbox, &brief), 30);
	for (int i = 0; i < sent; i++)
		tell_receiver(&child, TAKE_ONE);
	CHECK_EQ(polled(fd, POLLOUT), POLLOUT);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
	child_kill(&child);
	CHECK(polled(fd, POLLOUT) & POLLHUP);
	close(memfd);
	sendfd_outbox_close(outbox);
}

TEST(a_forked_child_has_none_of_it)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	int number = CHECK_OK(sendfd_outbox_fileno(outbox));
	send_number_over(outbox, 1);
	for (int raw = 0; raw < 2; raw++) {
		pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, NULL, 0, NULL), EPERM);
			CHECK_ERR(sendfd_outbox_wait_taken(outbox, NULL), EPERM);
			CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, NULL), EPERM);
			CHECK_ERR(sendfd_outbox_fileno(outbox), EPERM);
			CHECK(!is_open(number));
			sendfd_outbox_close(outbox);
			_exit(0);
		}
		CHECK(exited_well(pid));
	}
	expect_number(inbox, 1);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

#define EACH 500
static sendfd_outbox *shared;

static void *send_and_wait(void *arg)
{
	for (long i = 0; i < EACH; i++) {
		long value = (intptr_t)arg * EACH + i;
		CHECK_OK(sendfd_outbox_send(shared, NULL, 0, &value, sizeof value, NULL));
		if (i % 50 == 0)
			CHECK_OK(sendfd_outbox_wait_taken(shared, NULL));
	}
	CHECK_OK(sendfd_outbox_wait_taken(shared, NULL));
	return NULL;
}

TEST(eight_threads_at_once)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	shared = open_outbox(getpid(), S);
	pthread_t threads[8];
	for (size_t i = 0; i < LEN(threads); i++)
		threads[i] = thread_start(send_and_wait, (void *)(intptr_t)i);
	long next[8] = {0}, value;
	struct timespec limit = in_ms(10000);
	for (size_t i = 0; i < LEN(threads) * EACH; i++) {
		CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &value, sizeof value, NULL, &limit), 0);
		CHECK_EQ(value % EACH, next[value / EACH]);
		next[value / EACH]++;
	}
	for (size_t i = 0; i < LEN(threads); i++)
		thread_join(threads[i]);
	CHECK_OK(sendfd_outbox_wait_taken(shared, &NOW));
	sendfd_outbox_close(shared);
	sendfd_inbox_close(inbox);
}

static pid_t target;

static void traced_waiter(void)
{
	sendfd_outbox *outbox = open_outbox(target, S);
	send_number_over(outbox, 1);
	be_traced();
	mark();
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	mark();
	_exit(0);
}

static void *take_when_it_sleeps(void *arg)
{
	/* Seen asleep, and not in a tracer's stop, many times on end: it waits in the call. */
	for (int seen = 0; seen < 50;) {
		seen = state_of(*(pid_t *)arg) == 'S' ? seen + 1 : 0;
		struct timespec pause = in_ms(2);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static sendfd_inbox *to_take_from;
static void *take_later(void *arg)
{
	take_when_it_sleeps(arg);
	close(recv_soon(to_take_from, NULL));
	return NULL;
}

TEST_NEEDS(waits_in_one_sleep, PTRACE)
{
	to_take_from = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	pid_t waiter = fork();
	CHECK(waiter >= 0);
	if (waiter == 0)
		traced_waiter();
	pthread_t taker = thread_start(take_later, &waiter);
	long others, waits = trace_calls(waiter, SYS_epoll_wait, &others);
	thread_join(taker);
	CHECK(waits >= 1 && waits <= 4, "%ld waits", waits);
	CHECK(others <= 40 + traced_ms() / 25, "%ld other calls", others);
	sendfd_inbox_close(to_take_from);
}

static void handler(int signo) { (void)signo; }

static atomic_bool enough;

static void *interrupt(void *thread)
{
	struct timespec pause = in_ms(5);
	while (!enough) {
		CHECK(pthread_kill(*(pthread_t *)thread, SIGUSR1) == 0);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

TEST(a_handler_ends_the_wait_for_taken_alone)
{
	struct sigaction action = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	send_number_over(outbox, 1);
	pthread_t self = pthread_self(), other = thread_start(interrupt, &self);
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, NULL), EINTR);
	struct timespec brief = in_ms(100);
	CHECK_TIMES_OUT(sendfd_outbox_open(getpid(), S + 1, &brief, &(sendfd_outbox *){NULL}), 100);
	CHECK_TIMES_OUT(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &brief), 100);
	enough = true;
	thread_join(other);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}
