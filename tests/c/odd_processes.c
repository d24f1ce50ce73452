/* Processes in states that are legal and rare. */
#include "harness.h"

#include <sched.h>
#include <sys/prctl.h>

static pid_t target;

/* --- the first thread has ended ------------------------------------------------------------------ */
static int down[2];

static void *sends_by_pidfd(void *arg)
{
	char byte;
	CHECK(read(down[0], &byte, 1) == 1);
	int pidfd = my_pidfd_open(target), fd = make_memfd(3);
	CHECK(pidfd >= 0);
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	CHECK(arg == NULL);
	_exit(0);
}

/* Of another user: whether it lets root in is asked of /proc by its pid, which the pidfd's own page there
 * tells. */
static void receives_as_another(void *arg)
{
	(void)arg;
	become(lonely_uid());
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	expect_number(inbox, 3);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(a_sender_whose_first_thread_has_ended, PIDFD | ROOT)
{
	CHECK(pipe2(down, O_CLOEXEC) == 0);
	struct child receiver = fork_child(receives_as_another, NULL);
	child_hear(&receiver);
	target = receiver.pid;
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(20);
		thread_start(sends_by_pidfd, NULL);
		pthread_exit(NULL);
	}
	while (state_of(pid) != 'Z')
		sched_yield();
	CHECK(write(down[1], "g", 1) == 1);
	CHECK(exited_well(pid));
	child_join(&receiver);
	close(down[0]);
	close(down[1]);
}

/* --- no descriptor may be opened ------------------------------------------------------------------ */
static void waits_for_room(void *arg)
{
	int sent, fd = make_memfd(7);
	(void)arg;
	fill_mailbox(target, S, &sent);
	parent_tell(sent);
	set_limit(RLIMIT_NOFILE, 0);
	struct timespec limit = in_ms(200);
	CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), 200);
	parent_tell(0);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
}

TEST(a_sender_that_may_open_nothing_waits_for_room)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	struct child sender = fork_child(waits_for_room, NULL);
	long sent = child_hear(&sender);
	child_hear(&sender);
	for (long i = 0; i < sent; i++)
		close(recv_soon(inbox, NULL));
	expect_number(inbox, 7);
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

static void may_open_nothing(void *arg)
{
	(void)arg;
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct rlimit before;
		CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
		sendfd_inbox *inbox = open_inbox(S, flags);
		CHECK_OK(sendfd(getpid(), S, 2));
		close(recv_soon(inbox, NULL));
		set_limit(RLIMIT_NOFILE, 0);
		struct timespec limit = in_ms(100);
		CHECK_TIMES_OUT(sendfd_recv(inbox, NULL, &limit), 100);
		CHECK_OK(sendfd(getpid(), S, 2));
		CHECK_ERR(sendfd_recv(inbox, NULL, &limit), EMFILE);
		set_limit(RLIMIT_NOFILE, before.rlim_cur);
		close(recv_soon(inbox, NULL));
		sendfd_inbox_close(inbox);
	}
}

TEST(an_inbox_that_may_open_nothing_keeps_deadlines)
{
	struct child child = fork_child(may_open_nothing, NULL);
	child_join(&child);
}

/* --- a sender that nobody may look into, as after a change of its user -------------------------------- */
static uid_t somebody;

static void receives_both(void *arg)
{
	(void)arg;
	become(somebody);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	if (parent_hear() == 0)
		expect_number(inbox, 1);
	expect_number(inbox, 2);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* KERNEL(5.14): before, /proc/self/fdinfo is closed to such a process, and nothing else tells whose pidfd it is
 * where that has no inode. */
static bool may_read_about(int fd)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/thread-self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(info >= 0 || errno == EACCES);
	return info >= 0 && close(info) == 0;
}

static void sends_after_a_change_of_user(void *arg)
{
	(void)arg;
	become(somebody);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	int pidfd = my_pidfd_open(target), fd = make_memfd(1);
	CHECK(pidfd >= 0);
	int result = sendfd_pidfd(pidfd, S, fd);
	CHECK(result == (may_read_about(pidfd) ? 0 : -EACCES), "%s", errno_name(-result));
	parent_tell(result);
	take_number(fd, 1);
	fd = make_memfd(2);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
	close(pidfd);
}

TEST_NEEDS(a_sender_by_pidfd_that_has_changed_its_user, PIDFD | ROOT)
{
	somebody = lonely_uid();
	struct child receiver = fork_child(receives_both, NULL);
	child_hear(&receiver);
	target = receiver.pid;
	struct child sender = fork_child(sends_after_a_change_of_user, NULL);
	child_tell(&receiver, child_hear(&sender));
	child_join(&sender);
	child_join(&receiver);
}
