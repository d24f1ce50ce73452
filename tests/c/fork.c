/* Forked children, and what of the library is in them. */
#include "harness.h"

#include <stdatomic.h>
#include <sys/mman.h>

static pid_t target;

/* --- a forked child and the inbox of its parent ----------------------------------------------- */
static sendfd_inbox *inherited;

static void has_nothing_of_it(void *arg)
{
	int mine = *(int *)arg; /* descriptors of the parent before it opened the inbox */
	CHECK_EQ(count_fds(), mine + 2);
	siginfo_t si = {.si_signo = S, .si_code = POLL_IN};
	struct signalfd_siginfo ssi = {.ssi_signo = S, .ssi_code = POLL_IN};
	int fd = -7;
	CHECK_ERR(sendfd_inbox_fileno(inherited), EPERM);
	CHECK_ERR(sendfd_recv(inherited, NULL, NULL), EPERM);
	CHECK_ERR(sendfd_recvs(inherited, &fd, 1, NULL, 0, NULL, NULL), EPERM);
	CHECK_ERR(sendfd_claim(inherited, &si, NULL), EPERM);
	CHECK_ERR(sendfd_claim_signalfd(inherited, &ssi, NULL), EPERM);
	/* an inbox of its own, beside it */
	sendfd_inbox *own = open_inbox(S, 0);
	fd = make_memfd(50);
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
	expect_number(own, 50);
	fd = make_memfd(51);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
	sendfd_inbox_close(inherited);
	fd = make_memfd(52);
	CHECK_OK(sendfd(getpid(), S, fd)); /* closing the inherited one did no harm */
	close(fd);
	expect_number(own, 52);
	sendfd_inbox_close(own);
	CHECK(!pending(S));
}

TEST(a_forked_child_has_no_inbox)
{
	target = getpid();
	for (unsigned flags = 0; flags < 4; flags++) {
		forget_dead_links();
		int before = count_fds();
		inherited = open_inbox(S, flags);
		send_memfd_from_child(target, 1);
		send_memfd_from_child(target, 2);
		expect_number(inherited, 1); /* one link accepted, one not */
		struct child child = fork_child(has_nothing_of_it, &before);
		child_join(&child);
		expect_number(inherited, 2);
		expect_number(inherited, 51);
		send_memfd_from_child(target, 3);
		expect_number(inherited, 3);
		expect_empty(inherited);
		sendfd_inbox_close(inherited);
	}
}

static void forks_raw(void)
{
	int parents_count = count_fds();
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK_ERR(sendfd_recv(inherited, NULL, NULL), EPERM);
		CHECK_ERR(sendfd_inbox_fileno(inherited), EPERM);
		CHECK(count_fds() < parents_count, "the first call closes what was inherited");
		sendfd_inbox_close(inherited);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

TEST(a_raw_clone_has_no_inbox)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		inherited = open_inbox(S, flags);
		send_memfd_from_child(target, 1);
		send_memfd_from_child(target, 2);
		expect_number(inherited, 1);
		forks_raw();
		expect_number(inherited, 2);
		send_memfd_from_child(target, 3);
		expect_number(inherited, 3);
		sendfd_inbox_close(inherited);
	}
}

static void sends_on_inherited_link(void *arg)
{
	(void)arg;
	send_memfd(target, 61);
}

/* A child of a sender makes a link of its own: the receiver sees the child's pid. */
TEST(a_child_of_a_sender_is_its_own_sender)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	send_memfd(target, 60);
	expect_number(inbox, 60);
	struct child child = fork_child(sends_on_inherited_link, NULL);
	child_join(&child);
	send_memfd(target, 60);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 61);
	CHECK_EQ(info.pid, child.pid);
	take_number(recv_soon(inbox, &info), 60);
	CHECK_EQ(info.pid, getpid());
	sendfd_inbox_close(inbox);
}

static atomic_bool stop;
static void *sends(void *arg)
{
	(void)arg;
	int fd = make_memfd(1);
	while (!atomic_load(&stop)) {
		int result = sendfd(target, S, fd);
		CHECK(result == 0 || result == -EAGAIN, "%s", errno_name(-result));
	}
	close(fd);
	return NULL;
}

/* Children of a process whose other threads are in the middle of the library. */
TEST_LIMIT(forks_under_load, 60)
{
	pthread_t threads[3];
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	for (int i = 0; i < 3; i++)
		threads[i] = thread_start(sends, NULL);
	for (int i = 0; i < 200; i++) {
		send_memfd_from_child(target, 2);
		for (bool found = false; !found;) {
			int fd = recv_soon(inbox, NULL);
			found = memfd_number(fd) == 2;
			close(fd);
		}
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		thread_join(threads[i]);
	sendfd_inbox_close(inbox);
}

static void *receives(void *arg)
{
	(void)arg;
	struct timespec brief = in_ms(1);
	while (!atomic_load(&stop)) {
		int fd = sendfd_recv(inherited, NULL, &brief);
		CHECK(fd >= 0 || fd == -ETIMEDOUT, "%s", errno_name(-fd));
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* Locks of the library that others hold at the fork do not stop the child. */
TEST_LIMIT(forks_while_threads_receive, 60)
{
	pthread_t threads[4];
	target = getpid();
	inherited = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	for (int i = 0; i < 4; i++)
		threads[i] = thread_start(i % 2 ? receives : sends, NULL);
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			alarm(20);
			CHECK_ERR(sendfd_recv(inherited, NULL, NULL), EPERM);
			CHECK_ERR(sendfd_inbox_fileno(inherited), EPERM);
			sendfd_inbox_close(inherited);
			sendfd_inbox *own = open_inbox(S, 0);
			target = getpid();
			send_memfd(target, 8);
			expect_number(own, 8);
			sendfd_inbox_close(own);
			_exit(0);
		}
		CHECK(exited_well(pid));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		thread_join(threads[i]);
	sendfd_inbox_close(inherited);
}

TEST(every_descriptor_is_close_on_exec)
{
	bool before[4096];
	target = getpid();
	for (int fd = 0; fd < 4096; fd++)
		before[fd] = is_open(fd);
	sendfd_inbox *inbox = open_inbox(S, 0);
	send_memfd_from_child(target, 1);
	send_memfd(target, 2);
	int got[2] = {recv_soon(inbox, NULL), recv_soon(inbox, NULL)};
	for (int fd = 0; fd < 4096; fd++)
		CHECK(before[fd] || !is_open(fd) || is_cloexec(fd), "%d", fd);
	close(got[0]);
	close(got[1]);
	sendfd_inbox_close(inbox);
}

static void leaves(void *arg)
{
	(void)arg;
}

/* The child holds the old inbox's name until it has run for the first time. */
TEST(an_inbox_is_opened_anew_right_after_a_fork)
{
	for (int i = 0; i < 200; i++) {
		sendfd_inbox *inbox = open_inbox(S, i % 2 ? SENDFD_INBOX_NOSIGNAL : 0);
		struct child child = fork_child(leaves, NULL);
		sendfd_inbox_close(inbox);
		inbox = open_inbox(S, 0);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

static void *waits_for_room(void *arg)
{
	struct timespec limit = in_ms(1000);
	(void)arg;
	CHECK_ERR(sendfds(target, S, (int[]){2}, 1, NULL, 0, &limit), ETIMEDOUT);
	return NULL;
}

static void has_so_many(void *arg)
{
	CHECK_EQ(count_fds(), *(int *)arg + 2);
}

/* What a waiting sender holds is not inherited either. */
TEST(a_child_of_a_sender_that_waits)
{
	int sent, before = count_fds();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	fill_mailbox(target, S, &sent);
	int filled = count_fds();
	pthread_t waiting = thread_start(waits_for_room, NULL);
	for (long end = now_ms() + 500; count_fds() == filled && now_ms() < end;)
		sched_yield();
	struct child child = fork_child(has_so_many, &before);
	child_join(&child);
	thread_join(waiting);
	sendfd_inbox_close(inbox);
}

/* --- the kernel copies the descriptors first and memory later ------------------------------------- */
static pthread_barrier_t both_ready;

static void *closes_it(void *arg)
{
	pthread_barrier_wait(&both_ready);
	sendfd_inbox_close(arg);
	return NULL;
}

static bool is_of_an_inbox(int fd)
{
	struct sockaddr_un name = {0};
	socklen_t len = sizeof name;
	return !getsockname(fd, (struct sockaddr *)&name, &len) && !memcmp(name.sun_path, "\0sendfd", 7);
}

static void forks_while_it_is_closed(sendfd_inbox *inbox)
{
	CHECK(!pthread_barrier_init(&both_ready, NULL, 2));
	pthread_t thread = thread_start(closes_it, inbox);
	pthread_barrier_wait(&both_ready);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		for (int fd = 0; fd < 4096; fd++)
			CHECK(!is_of_an_inbox(fd), "%d", fd);
		_exit(0);
	}
	CHECK(exited_well(pid));
	thread_join(thread);
	pthread_barrier_destroy(&both_ready);
}

/* Of what is closed in between, the child has the descriptor, and no memory. */
TEST_LIMIT(a_child_of_a_process_that_closes_meanwhile, 60)
{
	enum { CONNECTIONS = 200 };
	char name[SENDFD_ADDRESS_MAX];
	int connections[CONNECTIONS];
	size_t size = (size_t)128 << 20;
	char *slow = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(slow != MAP_FAILED);
	madvise(slow, size, MADV_NOHUGEPAGE);
	memset(slow, 1, size);
	for (int i = 0; i < 50; i++) {
		sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		inbox_name(getpid(), S, name, sizeof name);
		for (int c = 0; c < CONNECTIONS; c++)
			connections[c] = raw_connect(name);
		expect_empty(inbox);
		forks_while_it_is_closed(inbox);
		for (int c = 0; c < CONNECTIONS; c++)
			close(connections[c]);
	}
	munmap(slow, size);
}
