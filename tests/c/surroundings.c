/* Programs that do unusual things around the library. */
#include "harness.h"

#include <sched.h>

static pid_t target;

static void receives(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	for (long n; (n = parent_hear()) >= 0;)
		expect_number(inbox, n);
	sendfd_inbox_close(inbox);
}

/* A daemon closes everything it does not know. Its kept links are among that. */
static bool reuses_the_number;

static void closes_everything(void *arg)
{
	(void)arg;
	parent_hear();
	send_memfd(target, 1);
	int link = 4095, file = -1;
	while (link > 4 && !is_open(link))
		link--;
	for (int fd = 5; fd < 4096; fd++) /* 3 and 4 are the pipes to the parent */
		close(fd);
	if (reuses_the_number) {
		file = make_memfd(9);
		CHECK(dup2(file, link) == link);
	}
	send_memfd(target, 2);
	forget_dead_links();
	CHECK(!reuses_the_number || memfd_number(link) == 9, "the program's own file was closed");
}

static void after_closing_everything(void)
{
	struct child receiver = fork_child(receives, NULL);
	child_hear(&receiver);
	target = receiver.pid;
	struct child sender = fork_child(closes_everything, NULL);
	child_tell(&sender, 0);
	child_tell(&receiver, 1);
	child_tell(&receiver, 2);
	child_tell(&receiver, -1);
	child_join(&sender);
	child_join(&receiver);
}

TEST(a_sender_that_closes_all_descriptors) { after_closing_everything(); }
TEST(a_sender_that_closes_all_and_reuses_the_numbers)
{
	reuses_the_number = true;
	after_closing_everything();
}

static void without_stdin(void *arg)
{
	(void)arg;
	close(0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	send_memfd(target, 3);
	CHECK(sendfd_inbox_fileno(inbox) >= 0);
	if (sendfd_inbox_fileno(inbox) != 0)
		CHECK_EQ(lowest_free(), 0);
	int lowest = lowest_free(), fd = recv_soon(inbox, NULL);
	CHECK_EQ(fd, lowest);
	take_number(fd, 3);
	sendfd_inbox_close(inbox);
	CHECK_EQ(lowest_free(), 0);
	inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	send_memfd(target, 4);
	expect_number(inbox, 4);
	sendfd_inbox_close(inbox);
}

TEST(number_zero_is_a_descriptor)
{
	/* in a child: the harness wants its own standard input back */
	pid_t pid = fork();
	if (pid == 0) {
		target = getpid();
		without_stdin(NULL);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

/* --- a receiver that changes its user -------------------------------------------------------------- */
static uid_t from_uid, to_uid;

static void changes_its_user(void *arg)
{
	bool claim = *(bool *)arg;
	sigset_t set = set_of(S, SIGIO, 0);
	if (from_uid)
		CHECK(setresuid(from_uid, from_uid, 0) == 0); /* 0 saved, to get on from there */
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	expect_number(inbox, parent_hear());
	CHECK(setresuid(0, 0, 0) == 0 || !from_uid);
	become(to_uid);
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN); /* the library arms its sockets anew */
	parent_tell(0);
	for (long n; (n = parent_hear()) >= 0;) {
		siginfo_t si;
		struct timespec limit = in_ms(5000 * (long)slower());
		int fd = -EAGAIN;
		while (claim && fd == -EAGAIN) {
			CHECK(sigtimedwait(&set, &si, &limit) > 0, "no signals for the new user");
			fd = sendfd_claim(inbox, &si, NULL);
		}
		if (!claim)
			fd = recv_soon(inbox, NULL);
		take_number(fd, n);
		parent_tell(n);
	}
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(a_receiver_that_changes_its_user, ROOT)
{
	uid_t uids[][2] = {{0, lonely_uid()}, {lonely_uid(), lonely_uid() + 1}};
	for (int i = 0; i < 4; i++) {
		bool claim = i % 2;
		from_uid = uids[i / 2][0];
		to_uid = uids[i / 2][1];
		struct child receiver = fork_child(changes_its_user, &claim);
		child_hear(&receiver);
		target = receiver.pid;
		send_memfd(target, 1);
		child_tell(&receiver, 1);
		child_hear(&receiver);
		for (long n = 2; n < 6; n++) {
			send_memfd(target, n);
			child_tell(&receiver, n);
			CHECK_EQ(child_hear(&receiver), n);
		}
		child_tell(&receiver, -1);
		child_join(&receiver);
	}
}

/* --- a process whose first thread has ended -------------------------------------------------------- */
static int up[2], down[2];

static void *goes_on(void *arg)
{
	char byte;
	(void)arg;
	CHECK(read(down[0], &byte, 1) == 1); /* the first thread has ended */
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK(write(up[1], "o", 1) == 1);
	expect_number(inbox, 6);
	expect_number(inbox, 7);
	sendfd_inbox_close(inbox);
	_exit(0);
}

TEST(a_process_whose_first_thread_has_ended)
{
	char byte;
	CHECK(pipe2(up, O_CLOEXEC) == 0 && pipe2(down, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(20);
		thread_start(goes_on, NULL);
		pthread_exit(NULL);
	}
	while (state_of(pid) != 'Z')
		sched_yield();
	CHECK_ERR(sendfd(pid, S, 2), ECONNREFUSED);
	CHECK(write(down[1], "g", 1) == 1);
	CHECK(read(up[0], &byte, 1) == 1);
	target = pid;
	send_memfd(target, 6);
	send_memfd(target, 7);
	CHECK(exited_well(pid));
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
}

/* --- many inboxes ------------------------------------------------------------------------------------ */
#define OWNERS 20
static pid_t owners[OWNERS];
static pthread_barrier_t opened, done;

static void *stays(void *arg)
{
	owners[(intptr_t)arg] = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&opened);
	sendfd_inbox *inboxes[20];
	for (int i = 0; i < 20; i++)
		inboxes[i] = open_inbox(S - 10 + i, SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL);
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&done);
	for (int i = 0; i < 20; i++) {
		for (long n = 0; n < 3; n++)
			expect_number(inboxes[i], n);
		expect_empty(inboxes[i]);
		sendfd_inbox_close(inboxes[i]);
	}
	return NULL;
}

/* 400 inboxes: a sender keeps at most 256 links, and order holds where it gave one up in between. */
TEST_LIMIT(the_number_of_links_is_bounded, 40)
{
	pthread_t threads[OWNERS];
	need_limit(RLIMIT_NOFILE, 4096);
	pthread_barrier_init(&opened, NULL, OWNERS + 1);
	pthread_barrier_init(&done, NULL, OWNERS + 1);
	for (intptr_t i = 0; i < OWNERS; i++)
		threads[i] = thread_start(stays, (void *)i);
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&opened);
	pid_t pid = fork();
	if (pid == 0) {
		set_limit(RLIMIT_NOFILE, 1024);
		int before = count_fds();
		for (long n = 0; n < 3; n++) {
			int fd = make_memfd(n);
			for (int i = 0; i < OWNERS * 20; i++)
				CHECK_OK(sendfd(owners[i / 20], S - 10 + i % 20, fd));
			close(fd);
		}
		CHECK(count_fds() - before <= 256, "%d links", count_fds() - before);
		_exit(0);
	}
	CHECK(exited_well(pid));
	pthread_barrier_wait(&done);
	for (int i = 0; i < OWNERS; i++)
		thread_join(threads[i]);
}

/* --- too many who wait to be accepted ---------------------------------------------------------------- */
static void backlog_sender(void *arg)
{
	(void)arg;
	int fd = make_memfd(8);
	CHECK_ERR(sendfd(target, S, fd), EAGAIN);
	struct timespec limit = in_ms(200);
	CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), 200);
	parent_tell(0);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
}

TEST_NEEDS(a_full_backlog, ROOT | NET_NAMESPACE)
{
	char name[64];
	int links[10], count = 0;
	CHECK(unshare(CLONE_NEWNET) == 0);
	int fd = open("/proc/sys/net/core/somaxconn", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "2", 1) == 1);
	close(fd);
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(target, S, name, sizeof name);
	while (count < 10 && (links[count] = raw_connect(name)) >= 0)
		count++;
	CHECK(count < 10 && links[count] == -EAGAIN);
	struct child sender = fork_child(backlog_sender, NULL);
	child_hear(&sender);
	expect_number(inbox, 8);
	child_join(&sender);
	while (count > 0)
		close(links[--count]);
	sendfd_inbox_close(inbox);
}

/* --- signal handlers in a sender that waits ------------------------------------------------------------ */
static void on_signal(int sig) { (void)sig; }

static void interrupted_sender(void *arg)
{
	(void)arg;
	int sent, fd = make_memfd(2);
	struct sigaction action = {.sa_handler = on_signal};
	struct itimerspec every = {in_ms(7), in_ms(7)};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	timer_t timer;
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	fill_mailbox(target, S, &sent);
	CHECK(timer_settime(timer, 0, &every, NULL) == 0);
	struct timespec limit = in_ms(300);
	CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), 300);
	CHECK(timer_settime(timer, 0, &(struct itimerspec){0}, NULL) == 0);
	parent_tell(sent);
}

TEST(eintr_never_comes_from_sending)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(interrupted_sender, NULL);
	for (long sent = child_hear(&sender); sent > 0; sent--)
		expect_number(inbox, 1);
	expect_empty(inbox);
	child_join(&sender);
	sendfd_inbox_close(inbox);
}
