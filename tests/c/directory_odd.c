/* An inbox that listens in a directory, and what that can be like. */
#include "directories.h"

#include <glob.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>

static void refuses(const char *directory, int error)
{
	sendfd_inbox_options asked = {.size = sizeof asked, .directory = directory};
	sendfd_inbox *inbox = NULL;
	int result = sendfd_inbox_open_with(S, &asked, &inbox);
	CHECK(result == -error && errno == error && !inbox, "%s: %s", directory, errno_name(-result));
	CHECK(setenv("SENDFD_DIR", directory, 1) == 0);
	is_open_without(open_inbox(S, 0));
}

TEST_NEEDS(directories_of_no_use, NEEDS)
{
	on_a_tmpfs("mode=755");
	CHECK(mkdir("/mnt/full", 0755) == 0 && mount("none", "/mnt/full", "tmpfs", 0, "nr_inodes=1") == 0);
	CHECK(mkdir("/mnt/fixed", 0755) == 0 && mount("none", "/mnt/fixed", "tmpfs", MS_RDONLY, NULL) == 0);
	CHECK(mkdir("/mnt/anothers", 0755) == 0 && chown("/mnt/anothers", 1, 1) == 0);
	CHECK(symlink("loop", "/mnt/loop") == 0);
	close(listen_at("/mnt/socket", SOCK_SEQPACKET));
	without_power_over_files();
	refuses("/mnt/none", ENOENT);
	refuses("/mnt/socket", ENOTDIR);
	refuses("/mnt/loop", ELOOP);
	refuses("/mnt/full", ENOSPC);
	refuses("/mnt/fixed", EROFS);
	refuses("/mnt/anothers", EACCES);
	char name[300] = "/mnt/";
	memset(name + 5, 'x', 256);
	refuses(name, ENAMETOOLONG);
	CHECK_EQ(files_in("/mnt/full") + files_in("/mnt/fixed") + files_in("/mnt/anothers"), 0);
}

TEST_NEEDS(a_directory_of_430_characters, NEEDS)
{
	on_a_tmpfs("mode=755");
	char directory[512] = "/mnt", part[150];
	for (int i = 0; i < 3; i++) {
		memset(part, 'a' + i, sizeof part);
		snprintf(directory + strlen(directory), sizeof directory - strlen(directory), "/%.141s", part);
		CHECK(mkdir(directory, 0755) == 0);
	}
	CHECK_EQ(strlen(directory), 430);
	CHECK(setenv("SENDFD_DIR", directory, 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_EQ(files_in(directory), 1);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in(directory), 0);
}

/* Root that may signal everybody, and connect to what everybody may connect to. */
static void sends_as_root_that_may_kill(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	have_only(1 << CAP_KILL);
	parent_tell(send_among_many(*(pid_t *)arg, 8));
}

static void a_user_with_a_strict_umask(void *arg)
{
	(void)arg;
	become(lonely_uid());
	umask(077);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_EQ(umask(0), 077);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(a_strict_umask, NEEDS)
{
	on_a_tmpfs("mode=1777");
	glob_t found;
	struct stat stat;
	struct child child = fork_child(a_user_with_a_strict_umask, NULL);
	child_hear(&child);
	CHECK(glob("/mnt/sendfd.1.*", 0, NULL, &found) == 0 && found.gl_pathc == 1);
	CHECK(lstat(found.gl_pathv[0], &stat) == 0 && (stat.st_mode & 07777) == 0777);
	globfree(&found);
	struct child sender = fork_child(sends_as_root_that_may_kill, &child.pid);
	CHECK_EQ(child_hear(&sender), 0);
	child_join(&sender);
	child_tell(&child, 1);
	child_join(&child);
}

TEST_NEEDS(a_directory_that_is_renamed, NEEDS)
{
	on_a_tmpfs("mode=755");
	CHECK(mkdir("/mnt/before", 0755) == 0 && setenv("SENDFD_DIR", "/mnt/before", 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK(rename("/mnt/before", "/mnt/after") == 0 && mkdir("/mnt/before", 0755) == 0);
	CHECK_EQ(files_in("/mnt/after"), 1);
	is_unreachable();
	CHECK(setenv("SENDFD_DIR", "/mnt/after", 1) == 0);
	arrives(inbox);
	sendfd_inbox_close(inbox);
	CHECK_EQ(files_in("/mnt/after"), 0);
}
