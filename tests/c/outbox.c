/* Outboxes: what became of a parcel, and how an outbox is opened and ends. */
#include "harness.h"

#include <stdatomic.h>

#define LEN(array) (sizeof(array) / sizeof(*(array)))
#define CLAIM 64u /* beside the library's flags: the receiver dequeues its own signals */

static const unsigned KINDS[] = {0, CLAIM, SENDFD_INBOX_NOSIGNAL, SENDFD_INBOX_THREAD,
				 SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL};
enum order { TAKE_ONE = 1, CLOSE, END, LOOK_ONLY, REOPEN };

static sendfd_outbox *open_outbox(pid_t pid, int sig)
{
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(pid, sig, &limit, &outbox));
	CHECK(outbox);
	return outbox;
}

static void send_number(sendfd_outbox *outbox, long number)
{
	int fd = make_memfd(number);
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	close(fd);
}

static int claim_one(sendfd_inbox *inbox)
{
	sigset_t set = set_of(S, SIGIO, 0);
	struct timespec limit = in_ms(10000);
	siginfo_t si;
	int fd = -EAGAIN;
	while (fd == -EAGAIN) {
		CHECK(sigtimedwait(&set, &si, &limit) > 0);
		fd = sendfd_claim(inbox, &si, NULL);
	}
	return CHECK_OK(fd);
}

/* Does what it is told. Opens its inbox first, unless it is told to wait with that. */
static void receiver(void *arg)
{
	unsigned kind = *(unsigned *)arg;
	sendfd_inbox *inbox = open_inbox(S, kind & ~CLAIM);
	parent_tell(0);
	for (long told; (told = parent_hear()) != END; parent_tell(0)) {
		if (told == TAKE_ONE)
			close(kind & CLAIM ? claim_one(inbox) : recv_soon(inbox, NULL));
		else if (told == LOOK_ONLY)
			CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE);
		else if (told == CLOSE || told == REOPEN)
			sendfd_inbox_close(inbox);
		if (told == REOPEN)
			inbox = open_inbox(S, kind & ~CLAIM);
	}
}

static struct child start(unsigned kind)
{
	static unsigned arg;
	arg = kind;
	struct child child = fork_child(receiver, &arg);
	child_hear(&child);
	return child;
}

static void tell(struct child *child, long what)
{
	child_tell(child, what);
	child_hear(child);
}

TEST_LIMIT(taken_not_yet_and_in_time, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++) {
		struct child child = start(KINDS[k]);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL)); /* nothing was sent */
		for (int i = 0; i < 3; i++)
			send_number(outbox, i);
		for (int left = 3; left > 0; left--) {
			CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
			struct timespec brief = in_ms(30);
			CHECK_TIMES_OUT(sendfd_outbox_wait_taken(outbox, &brief), 30);
			tell(&child, TAKE_ONE);
		}
		CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
		CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
		sendfd_outbox_close(outbox);
		child_tell(&child, END);
		child_join(&child);
	}
}

TEST(a_look_is_not_taken)
{
	struct child child = start(SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number(outbox, 1);
	for (int i = 0; i < 3; i++) {
		tell(&child, LOOK_ONLY);
		CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
	}
	tell(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
	sendfd_outbox_close(outbox);
	child_tell(&child, END);
	child_join(&child);
}

static void *wait_for_ever(void *outbox)
{
	return (void *)(intptr_t)sendfd_outbox_wait_taken(outbox, NULL);
}

enum end { TAKES, CLOSES, DIES };

/* Eight threads wait; what the receiver does wakes all of them with one verdict. */
static void threads_wake(unsigned kind, enum end end)
{
	struct child child = start(kind);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number(outbox, 1);
	send_number(outbox, 2);
	pthread_t threads[8];
	for (size_t i = 0; i < LEN(threads); i++)
		threads[i] = thread_start(wait_for_ever, outbox);
	tell(&child, TAKE_ONE);
	if (end == TAKES)
		tell(&child, TAKE_ONE);
	else if (end == CLOSES)
		tell(&child, CLOSE);
	else
		child_kill(&child);
	for (size_t i = 0; i < LEN(threads); i++) {
		void *result;
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK_EQ((intptr_t)result, end == TAKES ? 0 : -ECONNRESET);
	}
	sendfd_outbox_close(outbox);
	if (end != DIES) {
		child_tell(&child, end == TAKES ? CLOSE : END);
		if (end == TAKES) {
			child_hear(&child);
			child_tell(&child, END);
		}
		child_join(&child);
	}
}

TEST_LIMIT(waiting_threads_wake, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++)
		for (enum end end = TAKES; end <= DIES; end++)
			threads_wake(KINDS[k], end);
}

/* The verdict does not change, whoever asks and however often, and nothing can be sent any more. */
static void expect_verdict(sendfd_outbox *outbox, int error)
{
	for (int i = 0; i < 3; i++) {
		for (int null = 0; null < 2; null++) {
			int result = sendfd_outbox_wait_taken(outbox, null ? NULL : &NOW);
			CHECK(result == -error, "%s, not %s", errno_name(-result), errno_name(error));
		}
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "more", 4, NULL), EPIPE);
		char byte;
		CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, "more", 4, NULL, 0, &byte, 1, NULL, NULL), EPIPE);
	}
}

static void end_it(struct child *child, enum end end)
{
	if (end == DIES) {
		child_kill(child);
		return;
	}
	tell(child, CLOSE);
}

TEST_LIMIT(the_end_of_the_receiver, 60)
{
	for (size_t k = 0; k < LEN(KINDS); k++)
		for (enum end end = CLOSES; end <= DIES; end++)
			for (int taken = 0; taken < 4; taken++) { /* of 2; 3: it never accepted, none sent */
				struct child child = start(KINDS[k]);
				sendfd_outbox *outbox = open_outbox(child.pid, S);
				for (int i = 0; i < 2 && taken < 3; i++)
					send_number(outbox, i);
				for (int i = 0; i < taken && taken < 3; i++)
					tell(&child, TAKE_ONE);
				end_it(&child, end);
				expect_verdict(outbox, taken < 2 ? ECONNRESET : 0);
				sendfd_outbox_close(outbox);
				if (end == CLOSES) {
					child_tell(&child, END);
					child_join(&child);
				}
			}
}

/* The first to hear of the end is a send, to which the socket tells its only error. */
TEST(a_send_that_meets_the_end_does_not_hide_it)
{
	for (int taken = 0; taken < 2; taken++) {
		struct child child = start(SENDFD_INBOX_NOSIGNAL);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		send_number(outbox, 1);
		if (taken)
			tell(&child, TAKE_ONE);
		child_kill(&child);
		for (int i = 0; i < 3; i++)
			CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW), EPIPE);
		int result = sendfd_outbox_wait_taken(outbox, NULL);
		CHECK_EQ(result, taken ? 0 : -ECONNRESET);
		sendfd_outbox_close(outbox);
	}
}

static void open_and_clone(void *arg)
{
	(void)arg;
	open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear(); /* the outbox is connected */
	sendfd_inbox *inbox = open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL);
	(void)inbox;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
	CHECK(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	parent_tell(pid);
	parent_hear();
}

static pid_t copy;
static void kill_copy(void) { kill(copy, SIGKILL); }

TEST(a_child_of_the_receiver_holds_its_sockets)
{
	struct child child = fork_child(open_and_clone, NULL);
	child_hear(&child);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number(outbox, 1);
	child_tell(&child, 0);
	copy = (pid_t)child_hear(&child);
	atexit(kill_copy);
	pthread_t waiter = thread_start(wait_for_ever, outbox);
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
	child_kill(&child);
	void *result;
	CHECK(pthread_join(waiter, &result) == 0);
	CHECK_EQ((intptr_t)result, -ECONNRESET);
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), ECONNRESET);
	sendfd_outbox_close(outbox);
}

TEST(never_to_another_inbox)
{
	struct child child = start(SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(child.pid, S);
	send_number(outbox, 1);
	tell(&child, TAKE_ONE);
	tell(&child, REOPEN);
	expect_verdict(outbox, 0);
	sendfd_outbox *next = open_outbox(child.pid, S);
	send_number(next, 2);
	tell(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(next, &NOW));
	sendfd_outbox_close(next);
	sendfd_outbox_close(outbox);
	child_tell(&child, END);
	child_join(&child);
}

TEST(parcels_keep_their_order)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	for (int i = 0; i < 200; i++)
		send_number(outbox, i);
	for (int i = 0; i < 200; i++)
		expect_number(inbox, i);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

/* --- opening ----------------------------------------------------------------------------------- */
static void open_when_told(void *arg)
{
	(void)arg;
	parent_tell(0);
	if (parent_hear() == END)
		return;
	sendfd_inbox *inbox = open_inbox(S, 0);
	expect_number(inbox, 5);
	sendfd_inbox_close(inbox);
}

static void *open_for_ever(void *pid)
{
	sendfd_outbox *outbox = NULL;
	int result = sendfd_outbox_open((pid_t)(intptr_t)pid, S, NULL, &outbox);
	if (result < 0)
		return (void *)(intptr_t)result;
	send_number(outbox, 5);
	sendfd_outbox_close(outbox);
	return NULL;
}

TEST(waits_for_the_inbox_and_notices_the_end_of_the_task)
{
	for (int ends = 0; ends < 2; ends++) {
		struct child child = fork_child(open_when_told, NULL);
		child_hear(&child);
		sendfd_outbox *outbox = NULL;
		CHECK_ERR(sendfd_outbox_open(child.pid, S, &NOW, &outbox), ECONNREFUSED);
		struct timespec brief = in_ms(40);
		CHECK_TIMES_OUT(sendfd_outbox_open(child.pid, S, &brief, &outbox), 40);
		CHECK(!outbox);
		pthread_t opener = thread_start(open_for_ever, (void *)(intptr_t)child.pid);
		child_tell(&child, ends ? END : 0);
		if (!ends)
			child_join(&child);
		void *result;
		CHECK(pthread_join(opener, &result) == 0);
		CHECK_EQ((intptr_t)result, ends ? -ESRCH : 0);
		if (ends)
			child_join(&child);
	}
}

TEST_NEEDS(by_pidfd, PIDFD)
{
	struct child child = start(0);
	int pidfd = my_pidfd_open(child.pid);
	CHECK(pidfd >= 0);
	sendfd_outbox *outbox = NULL;
	CHECK_OK(sendfd_outbox_open_pidfd(pidfd, S, &NOW, &outbox));
	send_number(outbox, 1);
	tell(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	sendfd_outbox_close(outbox);
	CHECK_ERR(sendfd_outbox_open_pidfd(-1, S, &NOW, &outbox), EBADF);
	CHECK_ERR(sendfd_outbox_open_pidfd(1000, S, &NOW, &outbox), EBADF);
	CHECK_ERR(sendfd_outbox_open_pidfd(2, S, &NOW, &outbox), EINVAL);
	child_tell(&child, END);
	child_join(&child);
	CHECK_ERR(sendfd_outbox_open_pidfd(pidfd, S, NULL, &outbox), ESRCH);
	close(pidfd);
}

static void foreigner(void *arg)
{
	become(lonely_uid());
	sendfd_outbox *outbox = NULL;
	CHECK_ERR(sendfd_outbox_open(*(pid_t *)arg, S, NULL, &outbox), EPERM);
}

TEST_NEEDS(refused_to_other_users, ROOT)
{
	struct child child = start(0);
	struct child other = fork_child(foreigner, &child.pid);
	child_join(&other);
	child_tell(&child, END);
	child_join(&child);
}

TEST(einval_and_esrch)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = NULL;
	struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
	CHECK_ERR(sendfd_outbox_open(0, S, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(-1, S, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(getpid(), SIGUSR1, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(getpid(), S, &NOW, NULL), EINVAL);
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK_ERR(sendfd_outbox_open(getpid(), S, &bad[i], &outbox), EINVAL);
	struct child child = fork_child(open_when_told, NULL);
	child_hear(&child);
	child_kill(&child);
	CHECK_ERR(sendfd_outbox_open(child.pid, S, NULL, &outbox), ESRCH);
	CHECK(!outbox);
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	int fds[253], byte;
	for (size_t i = 0; i < LEN(fds); i++)
		fds[i] = 2;
	CHECK_ERR(sendfd_outbox_send(NULL, NULL, 0, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 1, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, NULL, 1, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, fds, 253, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, fds, 1, &byte, SENDFD_MAX_DATA + 1, &NOW), EMSGSIZE);
	CHECK_ERR(sendfd_outbox_send(outbox, (int[]){-1}, 1, NULL, 0, &NOW), EBADF);
	CHECK_ERR(sendfd_outbox_send(outbox, (int[]){1000}, 1, NULL, 0, &NOW), EBADF);
	CHECK_ERR(sendfd_outbox_wait_taken(NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_fileno(NULL), EINVAL);
	CHECK_ERR(sendfd_outbox_request(NULL, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 1, NULL, 0, NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 1, NULL, &NOW), EINVAL);
	for (size_t i = 0; i < LEN(bad); i++) {
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, NULL, 0, &bad[i]), EINVAL);
		CHECK_ERR(sendfd_outbox_wait_taken(outbox, &bad[i]), EINVAL);
		CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &bad[i]), EINVAL);
	}
	sendfd_outbox_close(outbox);
	sendfd_outbox_close(NULL);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* --- polling, fork, threads, cost --------------------------------------------------------------- */
static short polled(int fd, short events)
{
	struct pollfd p = {fd, events, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(its_descriptor_tells_of_room_and_of_the_end)
{
	struct child child = start(SENDFD_INBOX_NOSIGNAL);
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
		tell(&child, TAKE_ONE);
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
	send_number(outbox, 1);
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
	send_number(outbox, 1);
	be_traced();
	mark();
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	mark();
	_exit(0);
}

static void *take_when_it_sleeps(void *arg)
{
	char path[64], state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)*(pid_t *)arg);
	/* Seen asleep, and not in a tracer's stop, many times on end: it waits in the call. */
	for (int seen = 0; seen < 50;) {
		FILE *file = fopen(path, "re");
		CHECK(file && fscanf(file, "%*d %*s %c", &state) == 1);
		fclose(file);
		seen = state == 'S' ? seen + 1 : 0;
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
	send_number(outbox, 1);
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
