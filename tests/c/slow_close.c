/* Files whose close asks a server that does not answer: which calls wait for it, and which do not. */
#include "harness.h"

#include <linux/fuse.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>

static int fuse;
static atomic_bool holds; /* answers to FLUSH */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t held[256];
static int held_count, reports[2];

static void reply(uint64_t unique, const void *bytes, size_t len)
{
	struct {
		struct fuse_out_header head;
		char bytes[256];
	} out = {.head = {.len = (uint32_t)(sizeof out.head + len), .unique = unique}};
	memcpy(out.bytes, bytes, len);
	CHECK(write(fuse, &out, out.head.len) == out.head.len);
}

static void flush_is_asked_for(uint64_t unique)
{
	pthread_mutex_lock(&lock);
	bool now = !atomic_load(&holds);
	if (!now)
		held[held_count++] = unique;
	pthread_mutex_unlock(&lock);
	if (now)
		reply(unique, "", 0);
	else
		CHECK(write(reports[1], "", 1) == 1);
}

/* Its root is a file. */
static void *serves(void *arg)
{
	static _Alignas(8) char bytes[1 << 16];
	static const struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 4096};
	static const struct fuse_attr_out attributes = {.attr_valid = 3600,
							.attr = {.ino = 1, .mode = S_IFREG | 0644, .nlink = 1}};
	static const struct fuse_open_out opened = {.fh = 1};
	while (read(fuse, bytes, sizeof bytes) > 0) {
		const struct fuse_in_header *asked = (const void *)bytes;
		switch (asked->opcode) {
		case FUSE_INIT: reply(asked->unique, &init, sizeof init); break;
		case FUSE_GETATTR: reply(asked->unique, &attributes, sizeof attributes); break;
		case FUSE_OPEN: reply(asked->unique, &opened, sizeof opened); break;
		case FUSE_FLUSH: flush_is_asked_for(asked->unique); break;
		case FUSE_FORGET:
		case FUSE_INTERRUPT: break;
		default: reply(asked->unique, "", 0);
		}
	}
	return arg;
}

static void hold(void) { atomic_store(&holds, true); }

static void await_flush(void)
{
	char byte;
	CHECK(read(reports[0], &byte, 1) == 1);
}

static void answer_all(void)
{
	pthread_mutex_lock(&lock);
	atomic_store(&holds, false);
	while (held_count > 0)
		reply(held[--held_count], "", 0);
	pthread_mutex_unlock(&lock);
}

enum act { RECEIVE_ONE, RECEIVE_ALL, CLOSE_THEM, DISCARD, CLOSE_INBOX };

static void receives(void *arg)
{
	(void)arg;
	int fds[2] = {-1, -1};
	sendfd_info info = {0};
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	for (;;) {
		long act = parent_hear(), result = 0;
		switch ((enum act)act) {
		case RECEIVE_ONE: result = sendfd_recv(inbox, &info, &NOW); break;
		case RECEIVE_ALL: result = sendfd_recvs(inbox, fds, 2, NULL, 0, NULL, &NOW); break;
		case CLOSE_THEM:
			close(fds[0]);
			close(fds[1]);
			break;
		case DISCARD: result = sendfd_discard(inbox, &info); break;
		case CLOSE_INBOX:
			sendfd_inbox_close(inbox);
			parent_tell(0);
			return;
		}
		parent_tell(result);
	}
}

static long does(struct child *child, enum act act)
{
	child_tell(child, act);
	return child_hear(child);
}

TEST_NEEDS(a_refused_parcel_may_wait_for_its_file_system, ROOT)
{
	const char *path = "/mnt/file";
	char options[100];
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		SKIP("no /dev/fuse");
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/mnt", "tmpfs", 0, "mode=755") == 0);
	CHECK(mknod(path, S_IFREG | 0644, 0) == 0 && pipe2(reports, O_CLOEXEC) == 0);
	struct child child = fork_child(receives, NULL);
	child_hear(&child);
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(fuse >= 0);
	snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0", fuse, S_IFREG);
	CHECK(mount("fuse", path, "fuse", 0, options) == 0);
	pthread_t server = thread_start(serves, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC), two[2] = {fd, fd};
	CHECK(fd >= 0);

	/* It does not fit: what a look has installed is closed by the call. */
	hold();
	CHECK_OK(sendfds(child.pid, S, two, 2, NULL, 0, &NOW));
	child_tell(&child, RECEIVE_ONE);
	await_flush();
	CHECK(!readable(child.from));
	answer_all();
	CHECK_EQ(child_hear(&child), -EMSGSIZE);

	/* Where there is room, nothing is closed, and so nothing waited for. */
	hold();
	CHECK_EQ(does(&child, RECEIVE_ALL), 2);
	answer_all();
	CHECK_EQ(does(&child, CLOSE_THEM), 0);

	/* Nobody waits where a parcel is thrown away, or its inbox is closed. */
	CHECK_OK(sendfds(child.pid, S, two, 2, NULL, 0, &NOW));
	CHECK_EQ(does(&child, RECEIVE_ONE), -EMSGSIZE);
	hold();
	CHECK_EQ(does(&child, DISCARD), 0);
	CHECK_OK(sendfds(child.pid, S, two, 2, NULL, 0, &NOW));
	CHECK_EQ(does(&child, CLOSE_INBOX), 0);
	answer_all();
	child_join(&child);
	close(fd);
	CHECK(umount2(path, MNT_DETACH) == 0);
	thread_join(server);
	close(fuse);
	close(reports[0]);
	close(reports[1]);
}
