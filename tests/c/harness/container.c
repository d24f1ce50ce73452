/* A container, the sender that looks there, and what a hostile one plants; see container.h. */
#include "container.h"

#include <limits.h>
#include <sched.h>
#include <sys/mount.h>

char file_name[64];

void name_of(pid_t pid)
{
	snprintf(file_name, sizeof file_name, "sendfd.1.%lu.%d", (unsigned long)inode_of(pid), S);
}

const char *in(const char *directory)
{
	static char paths[2][PATH_MAX];
	static int last;
	last = !last;
	snprintf(paths[last], PATH_MAX, "%s/%s", directory, file_name);
	return paths[last];
}

void fresh_directories(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/mnt", "tmpfs", 0, "mode=755") == 0);
	CHECK(mount("none", "/run", "tmpfs", 0, "mode=755") == 0);
	CHECK(mount("none", "/dev/shm", "tmpfs", 0, "mode=1777") == 0);
	CHECK(unsetenv("SENDFD_DIR") == 0);
}

/* A link that nobody has followed today is not in memory alone: its time of access has to be written. */
void make_link(const char *to, const char *path)
{
	const struct timespec times[2] = {{time(NULL) + 3600, 0}, {time(NULL), 0}};
	CHECK(symlink(to, path) == 0 && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

void link_directory(const char *to)
{
	CHECK(rmdir("/run/sendfd") == 0);
	make_link(to, "/run/sendfd");
}

/* --- the sender ------------------------------------------------------------------------------------------------ */
void attempts(void *arg)
{
	const struct attempt *attempt = arg;
	refuse_call(SYS_setns, EPERM);
	int fd = make_memfd(8);
	long start = now_ms();
	int result = sendfds(attempt->to, S, &fd, 1, NULL, 0, attempt->timeout);
	parent_tell(result);
	parent_tell(now_ms() - start);
	close(fd);
}

int try_to_send(const struct attempt *attempt, long ms)
{
	struct child child = fork_child(attempts, (void *)attempt);
	int result = (int)child_hear(&child);
	long took = child_hear(&child);
	child_join(&child);
	CHECK(took < ms, "%ld ms", took);
	return result;
}

int try_at_once(pid_t to) { return try_to_send(&(struct attempt){to, &NOW}, 2000); }

/* --- what is planted ------------------------------------------------------------------------------------------- */
static void is_hostile(void *arg)
{
	const struct plant *plant = arg;
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0);
	CHECK(mkdir("/run/sendfd", 0755) == 0);
	name_of(getpid());
	plant->put();
	parent_tell(0);
	parent_hear();
	CHECK(setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	if (plant->clear)
		plant->clear();
}

static void check_nobody_came(int decoy) { CHECK(accept(decoy, NULL, NULL) < 0 && errno == EAGAIN); }

void check_plant(const struct plant *plant)
{
	fresh_directories();
	CHECK(mkdir("/mnt/decoy", 0755) == 0);
	struct child container = fork_child(is_hostile, (void *)plant);
	name_of(container.pid);
	int decoy = listen_at(in("/mnt/decoy"), SOCK_SEQPACKET);
	child_hear(&container);
	if (plant->leads_out) {
		char root[64];
		snprintf(root, sizeof root, "/proc/%d/root/run/sendfd", container.pid);
		int link = connect_at(in(root));
		CHECK(link >= 0, "%s", in(root));
		close(link);
		close(accept(decoy, NULL, NULL));
	}
	CHECK_EQ(try_at_once(container.pid), -(plant->error ? plant->error : ECONNREFUSED));
	check_nobody_came(decoy);
	child_tell(&container, 0);
	child_hear(&container);
	CHECK_EQ(try_at_once(container.pid), 0);
	child_tell(&container, 0);
	child_join(&container);
	check_nobody_came(decoy);
	close(decoy);
}
