/* An inbox and its directory, where a call is refused or somebody meddles while it takes its name. */
#include "harness.h"

#include <dirent.h>
#include <sys/ptrace.h>

static char directory[] = "/tmp/sendfd-test-XXXXXX";

static void make_directory(void) { CHECK(mkdtemp(directory)); }

/* Calls `with` with each entry; gives back how many there are. */
static int entries(void (*with)(const char *path))
{
	int count = 0;
	char path[600];
	DIR *dir = opendir(directory);
	CHECK(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		if (with)
			with(path);
	}
	closedir(dir);
	return count;
}

static void remove_entry(const char *path) { CHECK(unlink(path) == 0); }

static void remove_directory(void)
{
	entries(remove_entry);
	CHECK(rmdir(directory) == 0);
}

static int open_asked(sendfd_inbox **ret_inbox)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = SENDFD_INBOX_NOSIGNAL};
	options.directory = directory;
	return sendfd_inbox_open_with(S, &options, ret_inbox);
}

static int open_untold(sendfd_inbox **ret_inbox)
{
	CHECK(setenv("SENDFD_DIR", directory, 1) == 0);
	return sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, ret_inbox);
}

static void refuse_rename(int error)
{
#ifdef SYS_renameat
	refuse_call(SYS_renameat, error);
#endif
	refuse_call(SYS_renameat2, error);
}

static void refuse_chmod(int error)
{
#ifdef SYS_chmod
	refuse_call(SYS_chmod, error);
#endif
	refuse_call(SYS_fchmodat, error);
	umask(077);
}

/* What nobody has asked for may be missing, but not because memory was short. */
static void refused(void (*refuse)(int), int error, bool asked)
{
	sendfd_inbox *inbox = NULL;
	make_directory();
	refuse(error);
	if (asked || error == ENOMEM) {
		CHECK_ERR((asked ? open_asked : open_untold)(&inbox), error);
	} else {
		CHECK_OK(open_untold(&inbox));
		send_memfd(getpid(), 3);
		expect_number(inbox, 3);
		CHECK_EQ(entries(NULL), 0);
		sendfd_inbox_close(inbox);
	}
	CHECK_EQ(entries(NULL), 0);
	remove_directory();
}

TEST_NEEDS(the_name_is_refused, SECCOMP) { refused(refuse_rename, EACCES, true); }
TEST_NEEDS(the_name_is_refused_untold, SECCOMP) { refused(refuse_rename, EACCES, false); }
TEST_NEEDS(no_memory_for_the_name, SECCOMP) { refused(refuse_rename, ENOMEM, true); }
TEST_NEEDS(no_memory_for_the_name_untold, SECCOMP) { refused(refuse_rename, ENOMEM, false); }
TEST_NEEDS(the_permissions_are_refused, SECCOMP) { refused(refuse_chmod, EACCES, true); }
TEST_NEEDS(the_permissions_are_refused_untold, SECCOMP) { refused(refuse_chmod, EACCES, false); }
TEST_NEEDS(no_memory_for_the_permissions_untold, SECCOMP) { refused(refuse_chmod, ENOMEM, false); }

static void check_mode(const char *path)
{
	struct stat stat;
	CHECK(lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode));
	CHECK_EQ(stat.st_mode & 0777, 0777);
}

TEST(any_umask)
{
	static const mode_t MASKS[] = {0, 022, 0111, 0666, 0777};
	make_directory();
	for (size_t i = 0; i < sizeof MASKS / sizeof *MASKS; i++) {
		sendfd_inbox *inbox = NULL;
		umask(MASKS[i]);
		CHECK_OK(open_asked(&inbox));
		CHECK_EQ(umask(022), MASKS[i]);
		CHECK_EQ(entries(check_mode), 1);
		sendfd_inbox_close(inbox);
	}
	remove_directory();
}

/* --- somebody who may write there meddles with the socket that was just bound ------------------------------- */
static void opens_while_watched(void *arg)
{
	sendfd_inbox *inbox = NULL;
	be_traced();
	CHECK_ERR(open_asked(&inbox), EPERM);
	(void)arg;
}

static void meddled_with(void (*meddle)(const char *))
{
	int status;
	make_directory();
	struct child child = fork_child(opens_while_watched, NULL);
	CHECK(waitpid(child.pid, &status, 0) == child.pid && WIFSTOPPED(status));
	/* Its own signals reach it: a checker may live by them. */
	for (int sig = 0; entries(NULL) == 0; sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)) {
		CHECK(ptrace(PTRACE_SYSCALL, child.pid, 0, sig) == 0);
		CHECK(waitpid(child.pid, &status, 0) == child.pid && WIFSTOPPED(status));
	}
	CHECK_EQ(entries(meddle), 1);
	CHECK(ptrace(PTRACE_DETACH, child.pid, 0, 0) == 0);
	child_join(&child);
	remove_directory();
}

static void put_a_file_there(const char *path)
{
	CHECK(unlink(path) == 0);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
}

static void name_it_twice(const char *path)
{
	char other[600];
	snprintf(other, sizeof other, "%s/other", directory);
	CHECK(link(path, other) == 0);
}

static void give_it_away(const char *path) { CHECK(lchown(path, lonely_uid(), (gid_t)-1) == 0); }

TEST_NEEDS(a_file_in_its_place, PTRACE) { meddled_with(put_a_file_there); }
TEST_NEEDS(a_second_name_for_it, PTRACE) { meddled_with(name_it_twice); }
TEST_NEEDS(another_user_s_socket, PTRACE | ROOT) { meddled_with(give_it_away); }
