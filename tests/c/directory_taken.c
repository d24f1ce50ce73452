/* An inbox that listens in a directory, where the dead, an earlier image or a squatter have left files. */
#include "directories.h"

static void killed_with_an_inbox(void *arg)
{
	open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	(void)arg;
}

TEST_NEEDS(a_file_that_the_dead_have_left, NEEDS)
{
	on_a_tmpfs("mode=755");
	struct child child = fork_child(killed_with_an_inbox, NULL);
	child_hear(&child);
	CHECK_EQ(files_in(MNT), 1);
	child_kill(&child);
	CHECK_EQ(files_in(MNT), 1);
	/* its address is refused, and its file in nobody's way */
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in(MNT), 2);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(MNT), 1);
}

/* After a reboot the inodes begin anew, and a file that stayed has the name of somebody else's inbox. */
TEST_NEEDS(the_same_inode_again, NEEDS)
{
	on_a_tmpfs("mode=755");
	char path[PATH_MAX];
	close(listen_at(file_in(MNT, path), SOCK_SEQPACKET));
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in(MNT), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(MNT), 0);
	int fd = open(path, O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
	inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(is_socket(path));
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(MNT), 0);
}

static void opens_after_exec(void)
{
	char path[PATH_MAX];
	CHECK(is_socket(file_in(MNT, path)));
	is_unreachable();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(files_in(MNT), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(MNT), 0);
}

TEST_NEEDS(an_image_that_was_executed, NEEDS)
{
	if (getenv("SENDFD_TEST_EXECUTED"))
		return opens_after_exec();
	on_a_tmpfs("mode=755");
	CHECK(setenv("SENDFD_TEST_EXECUTED", "", 1) == 0);
	open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	execl("/proc/self/exe", "directory_taken", "an_image_that_was_executed", NULL);
	CHECK(false, "exec");
}

static const char *const SQUATTERS[] = {"a listener", "a directory", "a symbolic link"};

static void squat(int kind, const char *path)
{
	switch (kind) {
	case 0:
		listen_at(path, SOCK_SEQPACKET);
		break;
	case 1:
		CHECK(mkdir(path, 0777) == 0);
		break;
	default:
		CHECK(symlink("/etc", path) == 0);
	}
	CHECK(lchown(path, 2, 2) == 0, "%s", SQUATTERS[kind]);
}

TEST_NEEDS(a_squatter_where_everybody_may_write, NEEDS)
{
	char path[PATH_MAX];
	on_a_tmpfs("mode=1777,uid=1");
	for (int kind = 0; kind < 3; kind++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(20);
			squat(kind, file_in(MNT, path));
			without_power_over_files();
			sendfd_inbox *inbox = NULL;
			sendfd_inbox_options asked = {.size = sizeof asked, .directory = MNT};
			CHECK_ERR(sendfd_inbox_open_with(S, &asked, &inbox), EADDRINUSE);
			is_open_without(open_inbox(S, SENDFD_INBOX_NOSIGNAL));
			CHECK_EQ(files_in(MNT), kind + 1);
			_exit(0);
		}
		CHECK(exited_well(pid), "%s", SQUATTERS[kind]);
	}
}

enum { NAMES = 10000 };

static void squats_on_names_to_come(void *arg)
{
	char path[PATH_MAX];
	ino_t from = *(ino_t *)arg;
	become(lonely_uid());
	CHECK(chdir(MNT) == 0);
	listen_at("squatter", SOCK_SEQPACKET);
	for (ino_t inode = from; inode < from + NAMES; inode++) {
		snprintf(path, sizeof path, "sendfd.1.%lu.%d", (unsigned long)inode, S);
		CHECK(link("squatter", path) == 0);
	}
	parent_tell(0);
	parent_hear();
}

/* Inodes are consecutive: who squats on ten thousand names to come is sure to have the right one. */
TEST_NEEDS(ten_thousand_names_to_come, NEEDS | PIDFS)
{
	on_a_tmpfs("mode=1777,uid=1");
	ino_t from = inode_of(getpid());
	struct child squatter = fork_child(squats_on_names_to_come, &from);
	child_hear(&squatter);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(20);
		CHECK(inode_of(getpid()) < from + NAMES);
		without_power_over_files();
		sendfd_inbox_options asked = {.size = sizeof asked, .directory = MNT};
		sendfd_inbox *inbox = NULL;
		CHECK_ERR(sendfd_inbox_open_with(S, &asked, &inbox), EADDRINUSE);
		is_open_without(open_inbox(S, SENDFD_INBOX_NOSIGNAL));
		CHECK_EQ(files_in(MNT), NAMES + 1);
		_exit(0);
	}
	CHECK(exited_well(pid));
	child_tell(&squatter, 0);
	child_join(&squatter);
}
