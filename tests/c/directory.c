/* An inbox that listens in a directory as well: which one that is, and who comes there. */
#include "directories.h"

#include <sched.h>
#include <sys/mount.h>

static sendfd_inbox *open_in(const char *directory, unsigned flags)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .directory = directory};
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	return inbox;
}

/* --- where ------------------------------------------------------------------------------------------ */
TEST_NEEDS(by_the_environment, NEEDS)
{
	on_a_tmpfs("mode=755");
	char path[PATH_MAX];
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct stat stat;
		CHECK(lstat(file_in(MNT, path), &stat) == 0, "%s", path);
		CHECK(S_ISSOCK(stat.st_mode) && (stat.st_mode & 07777) == 0777);
		CHECK_EQ(files_in(MNT), 1);
		arrives(inbox);
		sendfd_inbox_close(inbox);
		CHECK_EQ(files_in(MNT), 0);
		is_unreachable();
	}
}

TEST_NEEDS(by_option_and_nowhere, NEEDS)
{
	on_a_tmpfs("mode=755");
	CHECK(mkdir("/mnt/asked", 0755) == 0);
	sendfd_inbox *inbox = open_in("/mnt/asked", SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in("/mnt/asked"), 1);
	CHECK_EQ(files_in(MNT), 1);
	sendfd_inbox_close(inbox);
	inbox = open_in("", SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in("/mnt/asked"), 0);
	CHECK_EQ(files_in(MNT), 1);
	sendfd_inbox_close(inbox);
	CHECK(chdir("/mnt") == 0);
	inbox = open_in("asked", 0);
	CHECK_EQ(files_in("/mnt/asked"), 1);
	sendfd_inbox_close(inbox);
	/* what the environment says is the same for every process, or nothing */
	CHECK(setenv("SENDFD_DIR", "asked", 1) == 0);
	inbox = open_inbox(S, 0);
	CHECK_EQ(files_in("/mnt/asked"), 0);
	sendfd_inbox_close(inbox);
	CHECK(setenv("SENDFD_DIR", "", 1) == 0);
	inbox = open_inbox(S, 0);
	CHECK_EQ(files_in("/mnt/asked"), 0);
	is_open_without(inbox);
}

TEST_NEEDS(where_an_administrator_made_one, NEEDS)
{
	on_a_tmpfs("mode=755");
	CHECK(unsetenv("SENDFD_DIR") == 0);
	CHECK(mount("none", "/run", "tmpfs", 0, "mode=755") == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in("/run"), 0);
	sendfd_inbox_close(inbox);
	CHECK(mkdir("/run/sendfd", 01777) == 0 && chmod("/run/sendfd", 01777) == 0);
	inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in("/run/sendfd"), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in("/run/sendfd"), 0);
}

static void *opens_for_itself(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	pid_t me = gettid();
	(void)arg;
	struct child child = fork_child(sends_from_elsewhere, &me);
	CHECK_EQ(child_hear(&child), 0);
	child_join(&child);
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	return NULL;
}

TEST_NEEDS(an_inbox_of_a_thread, NEEDS)
{
	on_a_tmpfs("mode=755");
	sendfd_inbox *inbox = open_inbox(S, 0);
	thread_join(thread_start(opens_for_itself, NULL));
	CHECK_EQ(files_in(MNT), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(by_address_from_elsewhere, NEEDS)
{
	on_a_tmpfs("mode=755");
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	char address[SENDFD_ADDRESS_MAX];
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	pid_t pid = fork();
	if (pid == 0) {
		alarm(20);
		CHECK(unshare(CLONE_NEWNET) == 0);
		have_only(0);
		sendfd_outbox *outbox;
		int fd = make_memfd(8);
		CHECK(unsetenv("SENDFD_DIR") == 0);
		CHECK_ERR(sendfd_outbox_open_address(address, &NOW, &outbox), ECONNREFUSED);
		CHECK(setenv("SENDFD_DIR", MNT, 1) == 0);
		CHECK_OK(sendfd_outbox_open_address(address, &NOW, &outbox));
		int result;
		do
			result = sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW);
		while (result == -ETOOMANYREFS && poll(NULL, 0, 10) == 0);
		CHECK_EQ(result, 0);
		_exit(0);
	}
	CHECK(exited_well(pid));
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
}

struct visit {
	pid_t to;
	uid_t user;
	bool is_let_in;
};

static void visits(void *arg)
{
	struct visit *visit = arg;
	struct timespec limit = {10, 0};
	CHECK(unshare(CLONE_NEWNET) == 0);
	become(visit->user);
	int fd = make_memfd(8);
	int result = sendfds(visit->to, S, &fd, 1, NULL, 0, &limit);
	CHECK_EQ(result, visit->is_let_in ? 0 : -EPERM);
	close(fd);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
	return info.si_pid == pid;
}

/* Another user, who has been let in, and one who has not. */
TEST_NEEDS(guests_come_by_a_file_of_their_own, NEEDS)
{
	on_a_tmpfs("mode=755");
	struct visit visit = {getpid(), lonely_uid(), true};
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .uids = &visit.user, .nuids = 1};
		sendfd_inbox *inbox = NULL;
		sendfd_info info;
		CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
		CHECK_EQ(files_in(MNT), 2);
		struct child guest = fork_child(visits, &visit);
		take_number(recv_soon(inbox, &info), 8);
		CHECK_EQ(info.uid, visit.user);
		child_join(&guest);
		struct visit other = {getpid(), visit.user + 1, false};
		struct child stranger = fork_child(visits, &other);
		struct timespec brief = {0, 20000000};
		while (!has_ended(stranger.pid))
			CHECK_ERR(sendfd_recv(inbox, NULL, &brief), ETIMEDOUT);
		child_join(&stranger);
		arrives(inbox);
		sendfd_inbox_close(inbox);
		CHECK_EQ(files_in(MNT), 0);
	}
}

/* --- with signals ------------------------------------------------------------------------------------ */
TEST_NEEDS(each_parcel_is_announced, NEEDS)
{
	on_a_tmpfs("mode=755");
	sendfd_inbox *inbox = open_inbox(S, 0);
	sigset_t set = set_of(S, SIGIO, 0);
	siginfo_t info;
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(send_from_elsewhere(), 0);
		struct timespec soon = in_ms(10000);
		CHECK(sigtimedwait(&set, &info, &soon) == S);
		int fd = sendfd_claim(inbox, &info, NULL);
		CHECK(fd >= 0, "%s", errno_name(-fd));
		take_number(fd, 8);
	}
	sendfd_inbox_close(inbox);
	CHECK(!pending(S) && !pending(SIGIO));
}
