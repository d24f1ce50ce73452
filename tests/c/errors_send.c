/* Every errno of sending that can be provoked. */
#include "harness.h"

#include <limits.h>
#include <sys/prctl.h>

#define HIGH_SIG (S + 1)

static sendfd_inbox *inbox; /* of this process, for S: nothing wrong may ever arrive in it */

static void arrange(void)
{
	inbox = open_inbox(S, 0);
}

static void nothing_came(void)
{
	expect_empty(inbox);
	int fd = make_memfd(99);
	CHECK_OK(sendfd(getpid(), S, fd)); /* and sending still works */
	close(fd);
	expect_number(inbox, 99);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(einval_bad_ids)
{
	arrange();
	int fd = 2;
	pid_t ids[] = {0, -1, -getpid(), INT_MIN};
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		CHECK_ERR(sendfd(ids[i], S, 2), EINVAL);
		CHECK_ERR(sendfds(ids[i], S, &fd, 1, NULL, 0, NULL), EINVAL);
	}
	nothing_came();
}

TEST(einval_bad_signals)
{
	arrange();
	int fd = 2, pidfd = my_pidfd_open(getpid());
	int signals[] = {0, -1, 1, SIGKILL, SIGIO, 31, 32, 33, SIGRTMIN - 1, SIGRTMAX + 1, 128, INT_MAX, INT_MIN};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		CHECK_ERR(sendfd(getpid(), signals[i], 2), EINVAL);
		CHECK_ERR(sendfds(getpid(), signals[i], &fd, 1, NULL, 0, NULL), EINVAL);
		if (pidfd >= 0)
			CHECK_ERR(sendfd_pidfd(pidfd, signals[i], 2), EINVAL);
	}
	if (pidfd >= 0)
		close(pidfd);
	nothing_came();
}

TEST(einval_bad_counts_and_nulls)
{
	arrange();
	int fds[254];
	for (int i = 0; i < 254; i++)
		fds[i] = 2;
	CHECK_ERR(sendfds(getpid(), S, fds, 253, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfds(getpid(), S, fds, SIZE_MAX, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfds(getpid(), S, NULL, 1, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfds(getpid(), S, fds, 1, NULL, 1, &NOW), EINVAL);
	struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}, {LONG_MIN, LONG_MIN}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR(sendfds(getpid(), S, fds, 1, NULL, 0, &bad[i]), EINVAL);
	nothing_came();
}

TEST_NEEDS(einval_what_the_kernel_refuses_to_pass, IO_URING)
{
	struct {
		unsigned words[64];
	} params = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params), fds[2] = {2, ring};
	CHECK(ring >= 0);
	arrange();
	CHECK_ERR(sendfd(getpid(), S, ring), EINVAL);
	CHECK_ERR(sendfds(getpid(), S, fds, 2, NULL, 0, &NOW), EINVAL);
	close(ring);
	nothing_came();
}

TEST(ebadf)
{
	arrange();
	int closed = lowest_free(), numbers[] = {-1, INT_MIN, INT_MAX, closed, -100 /* AT_FDCWD */};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		int fds[3] = {0, numbers[i], 2};
		CHECK_ERR(sendfd(getpid(), S, numbers[i]), EBADF);
		CHECK_ERR(sendfds(getpid(), S, fds, 3, "x", 1, &NOW), EBADF);
	}
	CHECK_ERR(sendfd_pidfd(-1, S, 2), EBADF);
	CHECK_ERR(sendfd_pidfd(lowest_free(), S, 2), EBADF);
	/* the same on a kept link */
	int fd = make_memfd(1);
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
	expect_number(inbox, 1);
	CHECK_ERR(sendfd(getpid(), S, fd), EBADF);
	nothing_came();
}

TEST(a_descriptor_that_is_no_pidfd)
{
	arrange();
	int fd = make_memfd(1), p[2];
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	int others[] = {fd, p[0], sendfd_inbox_fileno(inbox)};
	for (int i = 0; i < 3; i++) {
		errno = 0;
		int result = sendfd_pidfd(others[i], S, 2);
		CHECK(result == -EBADF || result == -EINVAL, "%s", errno_name(-result));
		CHECK_EQ(errno, -result);
	}
	close(fd);
	close(p[0]);
	close(p[1]);
	nothing_came();
}

TEST(emsgsize)
{
	arrange();
	static char data[SENDFD_MAX_DATA + 1];
	int fd = 2;
	CHECK_ERR(sendfds(getpid(), S, &fd, 1, data, sizeof data, &NOW), EMSGSIZE);
	CHECK_ERR(sendfds(getpid(), S, &fd, 1, data, SIZE_MAX / 2, &NOW), EMSGSIZE);
	nothing_came();
}

static void just_exit(void *arg) { (void)arg; }

TEST(esrch)
{
	struct child child = fork_child(just_exit, NULL);
	siginfo_t si;
	int pidfd = my_pidfd_open(child.pid);
	CHECK(waitid(P_PID, (id_t)child.pid, &si, WEXITED | WNOWAIT) == 0);
	CHECK_ERR(sendfd(child.pid, S, 2), ESRCH); /* a zombie */
	child_join(&child);
	CHECK_ERR(sendfd(child.pid, S, 2), ESRCH);
	if (pidfd >= 0) {
		CHECK_ERR(sendfd_pidfd(pidfd, S, 2), ESRCH);
		close(pidfd);
	}
	CHECK_ERR(sendfd(INT_MAX, S, 2), ESRCH);
}

static void has_other_inboxes(void *arg)
{
	(void)arg;
	sendfd_inbox *other = open_inbox(HIGH_SIG, 0), *brief = open_inbox(S, 0);
	parent_tell(0);
	expect_number(brief, 5);
	sendfd_inbox_close(brief);
	parent_tell(0);
	parent_hear();
	expect_empty(other);
	sendfd_inbox_close(other);
}

TEST(econnrefused)
{
	CHECK_ERR(sendfd(getpid(), S, 2), ECONNREFUSED);
	CHECK_ERR(sendfd(1, S, 2), getuid() == 0 ? ECONNREFUSED : EPERM);
	struct child child = fork_child(has_other_inboxes, NULL);
	child_hear(&child);
	CHECK_ERR(sendfd(child.pid, S + 2, 2), ECONNREFUSED);
	int fd = make_memfd(5);
	CHECK_OK(sendfd(child.pid, S, fd));
	child_hear(&child); /* closed it: the kept link is at its end */
	CHECK_ERR(sendfd(child.pid, S, fd), ECONNREFUSED);
	CHECK_ERR(sendfds(child.pid, S, &fd, 1, NULL, 0, NULL), ECONNREFUSED);
	int pidfd = my_pidfd_open(child.pid);
	if (pidfd >= 0) {
		CHECK_ERR(sendfd_pidfd(pidfd, S, fd), ECONNREFUSED);
		close(pidfd);
	}
	close(fd);
	child_tell(&child, 0);
	child_join(&child);
}

TEST(a_new_inbox_is_found_after_the_old_one)
{
	for (int i = 0; i < 20; i++) {
		arrange();
		nothing_came();
		CHECK_ERR(sendfd(getpid(), S, 2), ECONNREFUSED);
	}
}

static void sits(void *arg)
{
	(void)arg;
	sendfd_inbox *mine = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_empty(mine);
	sendfd_inbox_close(mine);
}

TEST_NEEDS(eperm, ROOT)
{
	struct child child = fork_child(sits, NULL), sender;
	child_hear(&child);
	pid_t pid = child.pid;
	int pidfd = my_pidfd_open(pid), fd = 2;
	sender.pid = fork();
	if (sender.pid == 0) {
		become(lonely_uid());
		CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* as a process that always had this user */
		CHECK_ERR(sendfd(pid, S, 2), EPERM);
		CHECK_ERR(sendfd(pid, HIGH_SIG, 2), EPERM); /* no matter whether there is an inbox */
		CHECK_ERR(sendfds(pid, S, &fd, 1, "x", 1, NULL), EPERM);
		if (pidfd >= 0)
			CHECK_ERR(sendfd_pidfd(pidfd, S, 2), EPERM);
		CHECK_ERR(sendfd(1, S, 2), EPERM);
		_exit(0);
	}
	CHECK(exited_well(sender.pid));
	if (pidfd >= 0)
		close(pidfd);
	child_tell(&child, 0);
	child_join(&child);
}

TEST(emfile_no_descriptor_for_the_link)
{
	struct child child = fork_child(sits, NULL);
	child_hear(&child);
	pid_t pid = fork();
	if (pid == 0) {
		int last = 0;
		set_limit(RLIMIT_NOFILE, 40);
		for (int fd; (fd = dup(2)) >= 0; last = fd)
			;
		CHECK_ERR(sendfd(child.pid, S, 2), EMFILE);
		int sent = 2;
		CHECK_ERR(sendfds(child.pid, S, &sent, 1, NULL, 0, NULL), EMFILE);
		CHECK_EQ(fcntl(last, F_GETFD), 0); /* nothing of ours was closed for it */
		_exit(0);
	}
	CHECK(exited_well(pid));
	child_tell(&child, 0);
	child_join(&child);
}

static void takes_two(void *arg)
{
	(void)arg;
	sendfd_inbox *mine = open_inbox(S, 0);
	parent_tell(0);
	expect_number(mine, 1);
	expect_number(mine, 1);
	sendfd_inbox_close(mine);
}

TEST(a_kept_link_needs_no_descriptor)
{
	struct child child = fork_child(takes_two, NULL);
	child_hear(&child);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = make_memfd(1);
		CHECK_OK(sendfd(child.pid, S, fd));
		set_limit(RLIMIT_NOFILE, 40);
		while (dup(2) >= 0)
			;
		CHECK_OK(sendfd(child.pid, S, fd));
		_exit(0);
	}
	CHECK(exited_well(pid));
	child_join(&child);
}

TEST_NEEDS(enfile_when_the_machine_has_no_file_left, SECCOMP)
{
	struct child child = fork_child(sits, NULL);
	child_hear(&child);
	pid_t pid = fork();
	if (pid == 0) {
		refuse_call(SYS_socket, ENFILE);
		CHECK_ERR(sendfd(child.pid, S, 2), ENFILE);
		sendfd_inbox *none = NULL;
		CHECK_ERR(sendfd_inbox_open(S + 3, 0, &none), ENFILE);
		CHECK(!none);
		_exit(0);
	}
	CHECK(exited_well(pid));
	child_tell(&child, 0);
	child_join(&child);
}

TEST(version_is_told)
{
	const char *version = sendfd_version();
	int major, minor, patch;
	CHECK(version && sscanf(version, "%d.%d.%d", &major, &minor, &patch) == 3, "%s", version ? version : "NULL");
}
