/* An inbox that has listened in a directory: what is taken away there when it is closed. */
#include "directories.h"

#include <sys/mount.h>

TEST_NEEDS(what_has_taken_its_place_stays, NEEDS)
{
	on_a_tmpfs("mode=755");
	char path[PATH_MAX];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(unlink(file_in(MNT, path)) == 0);
	close(listen_at(path, SOCK_SEQPACKET));
	sendfd_inbox_close(inbox);
	CHECK(is_socket(path));
	CHECK(unlink(path) == 0);
}

static void closes_what_is_inherited(void *arg)
{
	sendfd_inbox_close(arg);
	CHECK_EQ(files_in(MNT), 1);
}

TEST_NEEDS(a_child_takes_nothing_away, NEEDS)
{
	on_a_tmpfs("mode=755");
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	struct child child = fork_child(closes_what_is_inherited, inbox);
	child_join(&child);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		sendfd_inbox_close(inbox);
		_exit(0);
	}
	CHECK(exited_well(pid));
	CHECK_EQ(files_in(MNT), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(MNT), 0);
}

/* The program closes what is the library's, and opens another directory under each of its numbers: none of
 * these is closed, and nothing is taken away there. */
TEST_NEEDS(a_directory_that_was_closed, NEEDS)
{
	enum { MOST = 4096 };
	static bool seen[MOST], put[MOST];
	on_a_tmpfs("mode=755");
	char path[PATH_MAX];
	CHECK(mkdir("/mnt/kept", 0755) == 0);
	for (int fd = 0; fd < MOST; fd++)
		seen[fd] = is_open(fd);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	close(listen_at(file_in("/mnt/kept", path), SOCK_SEQPACKET));
	int other = open("/mnt/kept", O_PATH | O_DIRECTORY | O_CLOEXEC), count = 0;
	for (int fd = 0; fd < MOST; fd++) {
		put[fd] = fd != other && !seen[fd] && is_open(fd);
		if (put[fd])
			CHECK(dup3(other, fd, O_CLOEXEC) == fd);
		count += put[fd];
	}
	CHECK(count >= 4, "%d", count);
	sendfd_inbox_close(inbox);
	for (int fd = 0; fd < MOST; fd++)
		CHECK(!put[fd] || close(fd) == 0, "%d", fd);
	CHECK_EQ(files_in("/mnt/kept"), 1);
	close(other);
}

static void change_root(bool pivots)
{
	CHECK(mount("none", "/mnt/new", "tmpfs", 0, "mode=755") == 0);
	CHECK(mkdir("/mnt/new/old", 0755) == 0 && mkdir("/mnt/new/proc", 0755) == 0);
	CHECK(mount("/proc", "/mnt/new/proc", NULL, MS_BIND | MS_REC, NULL) == 0);
	CHECK((pivots ? syscall(SYS_pivot_root, "/mnt/new", "/mnt/new/old") : chroot("/mnt/new")) == 0);
	CHECK(chdir("/") == 0);
}

/* Senders of its network namespace find it as ever, and its file is taken away where it was. */
static void changes_its_root(void *pivots)
{
	on_a_tmpfs("mode=755");
	CHECK(mkdir("/mnt/new", 0755) == 0 && mkdir("/mnt/sockets", 0755) == 0);
	CHECK(setenv("SENDFD_DIR", "/mnt/sockets", 1) == 0);
	int sockets = open("/mnt/sockets", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(is_socket(file_in("/mnt/sockets", path)));
	change_root(*(bool *)pivots);
	send_memfd(getpid(), 7);
	expect_number(inbox, 7);
	sendfd_inbox_close(inbox);
	CHECK(faccessat(sockets, strrchr(path, '/') + 1, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
	close(sockets);
}

static void check_change(bool pivots)
{
	struct child child = fork_child(changes_its_root, &pivots);
	child_join(&child);
}

TEST_NEEDS(a_receiver_that_changes_its_root, NEEDS) { check_change(false); }
TEST_NEEDS(a_receiver_that_pivots, NEEDS) { check_change(true); }
