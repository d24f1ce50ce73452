/* An inbox that listens in a directory as well, and what it does there. */
#include "harness.h"

#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>

/* A mount namespace, and in it a directory that is nobody else's; the network of a container. */
#define NEEDS ROOT | NET_NAMESPACE
static const char MNT[] = "/mnt";

static void on_a_tmpfs(const char *options)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", MNT, "tmpfs", 0, options) == 0);
	CHECK(setenv("SENDFD_DIR", MNT, 1) == 0);
}

static void have_only(unsigned capabilities)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{capabilities, capabilities, 0}, {0, 0, 0}};
	CHECK(syscall(SYS_capset, &head, sets) == 0);
}

/* Without the capability by which root reaches any network namespace. */
static void powerless(void) { have_only(0); }

/* Bound to permissions like a user, and yet able to start children elsewhere. */
static void without_power_over_files(void) { have_only(1 << CAP_SYS_ADMIN); }

static ino_t inode_of(pid_t pid)
{
	struct stat stat;
	int pidfd = my_pidfd_open(pid);
	CHECK(pidfd >= 0 && fstat(pidfd, &stat) == 0);
	close(pidfd);
	return stat.st_ino;
}

/* By the address of another inbox, which is like it but for the number. */
static char *file_in(const char *directory, char *path)
{
	char address[SENDFD_ADDRESS_MAX], *last;
	sendfd_inbox *inbox = NULL;
	sendfd_inbox_options options = {.size = sizeof options, .flags = SENDFD_INBOX_NOSIGNAL, .directory = ""};
	CHECK_OK(sendfd_inbox_open_with(S + 1, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	sendfd_inbox_close(inbox);
	last = strrchr(address, '/');
	*strchr(address, '/') = '.';
	snprintf(path, PATH_MAX, "%s/%.*s.%d", directory, (int)(last - address), address, S);
	return path;
}

static int files_in(const char *directory)
{
	int count = 0;
	DIR *dir = opendir(directory);
	CHECK(dir, "%s", directory);
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

static bool is_socket(const char *path)
{
	struct stat stat;
	return lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode);
}

static void bind_file(const char *path, bool listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	CHECK(bind(socket_, (struct sockaddr *)&address, sizeof address) == 0, "%s", path);
	if (listens)
		CHECK(listen(socket_, 0) == 0);
	else
		close(socket_);
}

static sendfd_inbox *open_in(const char *directory, unsigned flags)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .directory = directory};
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	return inbox;
}

/* From another network namespace, by somebody who has no way but the directory. */
static void sends_from_elsewhere(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	powerless();
	parent_tell(send_among_many(*(pid_t *)arg, 8));
}

static int send_from_elsewhere(void)
{
	pid_t me = getpid();
	struct child child = fork_child(sends_from_elsewhere, &me);
	int result = (int)child_hear(&child);
	child_join(&child);
	return result;
}

static void arrives(sendfd_inbox *inbox)
{
	CHECK_EQ(send_from_elsewhere(), 0);
	expect_number(inbox, 8);
}

static void is_unreachable(void) { CHECK_EQ(send_from_elsewhere(), -ECONNREFUSED); }

/* Such an inbox is there for senders of this network namespace, too. */
static void is_open_without(sendfd_inbox *inbox)
{
	int fd = make_memfd(7);
	is_unreachable();
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
	expect_number(inbox, 7);
	sendfd_inbox_close(inbox);
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
		powerless();
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

/* --- what others, and what was before, have left there ------------------------------------------------- */
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
	bind_file(file_in(MNT, path), false);
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
	execl("/proc/self/exe", "directory", "an_image_that_was_executed", NULL);
	CHECK(false, "exec");
}

static const char *const SQUATTERS[] = {"a listener", "a directory", "a symbolic link"};

static void squat(int kind, const char *path)
{
	switch (kind) {
	case 0:
		bind_file(path, true);
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
	bind_file("squatter", true);
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

/* --- what a directory can be like --------------------------------------------------------------------- */
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
	bind_file("/mnt/socket", false);
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

/* --- closing ------------------------------------------------------------------------------------------ */
TEST_NEEDS(what_has_taken_its_place_stays, NEEDS)
{
	on_a_tmpfs("mode=755");
	char path[PATH_MAX];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(unlink(file_in(MNT, path)) == 0);
	bind_file(path, false);
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
	bind_file(file_in("/mnt/kept", path), false);
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
	int fd = make_memfd(7);
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
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
