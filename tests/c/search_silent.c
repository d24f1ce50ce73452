/* A sender that looks for an inbox in the root of a container, where a file system does not answer. */
#include "container.h"

#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>

static int fuse;
static pid_t server;

static void mount_fuse(const char *at, unsigned type)
{
	char options[128];
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(fuse >= 0, "/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions",
		 fuse, type);
	CHECK(mount("fuse", at, "fuse", 0, options) == 0, "%s", at);
}

static void unmount_fuse(void)
{
	if (server > 0) {
		CHECK(kill(server, SIGKILL) == 0 && waitpid(server, NULL, 0) == server);
		server = 0;
	}
	close(fuse); /* whoever waits for it goes on */
	CHECK(umount2("/run/sendfd", MNT_DETACH) == 0);
}

static void unmount_fuse_on_file(void)
{
	close(fuse);
	CHECK(umount2(in("/run/sendfd"), MNT_DETACH) == 0);
}

static void silent(void) { mount_fuse("/run/sendfd", S_IFDIR); }
static void silent_socket(void)
{
	close(open(in("/run/sendfd"), O_CREAT | O_CLOEXEC, 0777));
	mount_fuse(in("/run/sendfd"), S_IFSOCK);
}

/* The root is a directory, and every name in it is a socket, about whose permissions it has to be asked. */
static struct fuse_attr attributes_of(uint64_t node)
{
	return (struct fuse_attr){.ino = node, .mode = node == 1 ? S_IFDIR | 0755 : S_IFSOCK | 0777, .nlink = 1};
}

static size_t answer(const struct fuse_in_header *asked, void *ret)
{
	bool of_root = asked->nodeid == 1;
	switch (asked->opcode) {
	case FUSE_INIT:
		*(struct fuse_init_out *)ret = (struct fuse_init_out){.major = 7, .minor = 31, .max_write = 4096};
		return sizeof(struct fuse_init_out);
	case FUSE_LOOKUP:
		*(struct fuse_entry_out *)ret =
			(struct fuse_entry_out){.nodeid = 2, .entry_valid = 3600, .attr = attributes_of(2)};
		return sizeof(struct fuse_entry_out);
	case FUSE_GETATTR:
		*(struct fuse_attr_out *)ret = (struct fuse_attr_out){.attr_valid = of_root ? 3600 : 0,
								      .attr = attributes_of(asked->nodeid)};
		return sizeof(struct fuse_attr_out);
	case FUSE_STATFS:
		*(struct fuse_statfs_out *)ret = (struct fuse_statfs_out){.st = {.bsize = 4096, .namelen = 255}};
		return sizeof(struct fuse_statfs_out);
	default:
		return 0;
	}
}

/* Until it has answered once for a socket; what is asked then is left. */
static void serve(int answered)
{
	static char bytes[1 << 17];
	for (;;) {
		struct {
			struct fuse_out_header head;
			char body[256];
		} out = {0};
		const struct fuse_in_header *asked = (const void *)bytes;
		CHECK(read(fuse, bytes, sizeof bytes) > 0);
		out.head.unique = asked->unique;
		size_t len = answer(asked, out.body);
		out.head.error = len ? 0 : -ENOSYS;
		out.head.len = (unsigned)(sizeof out.head + len);
		CHECK(write(fuse, &out, out.head.len) == out.head.len);
		if (asked->opcode == FUSE_GETATTR && asked->nodeid == 2)
			break;
	}
	close(answered);
	pause();
}

static int answered[2];

static void start_server(void)
{
	CHECK(pipe2(answered, O_CLOEXEC) == 0);
	server = fork();
	CHECK(server >= 0);
	if (server == 0) {
		alarm(20);
		close(answered[0]);
		serve(answered[1]);
	}
	close(answered[1]);
}

static void make_known(const char *path)
{
	struct stat stat;
	char byte;
	CHECK(lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode));
	CHECK(read(answered[0], &byte, 1) == 0);
	close(answered[0]);
}

static void silent_once_it_is_known(void)
{
	mount_fuse("/run/sendfd", S_IFDIR);
	start_server();
	make_known(in("/run/sendfd"));
}

#define PLANT_FUSE(test, ...)                                                                                 \
	TEST_NEEDS(test, NEEDS | USER_NAMESPACE)                                                              \
	{                                                                                                     \
		static const struct plant this = {.put = __VA_ARGS__};                                               \
		if (access("/dev/fuse", R_OK | W_OK) < 0)                                                     \
			SKIP("no /dev/fuse");                                                                 \
		check_plant(&this);                                                                           \
	}

PLANT_FUSE(a_file_system_that_does_not_answer, silent, .clear = unmount_fuse)
PLANT_FUSE(a_file_that_does_not_answer, silent_socket, .clear = unmount_fuse_on_file)
PLANT_FUSE(a_file_system_that_answers_no_more, silent_once_it_is_known, .clear = unmount_fuse)

/* Who has a user namespace may mount, and gets around the restrictions on FUSE by an overlay over it. */
static void be_root_of_all_users(void)
{
	int gate[2];
	pid_t me = getpid();
	CHECK(pipe2(gate, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char byte, path[64];
		close(gate[1]);
		CHECK(read(gate[0], &byte, 1) == 0);
		for (int i = 0; i < 2; i++) {
			snprintf(path, sizeof path, "/proc/%d/%s", me, i ? "gid_map" : "uid_map");
			int fd = open(path, O_WRONLY | O_CLOEXEC);
			CHECK(fd >= 0 && write(fd, "0 0 4294967295", 14) == 14, "%s", path);
		}
		_exit(0);
	}
	close(gate[0]);
	CHECK(unshare(CLONE_NEWUSER) == 0);
	close(gate[1]);
	CHECK(exited_well(pid));
	CHECK(unshare(CLONE_NEWNS) == 0);
}

static void overlay_that_answers_no_more(void)
{
	be_root_of_all_users();
	CHECK(mkdir("/mnt/lower", 0755) == 0 && mkdir("/mnt/empty", 0755) == 0);
	mount_fuse("/mnt/lower", S_IFDIR);
	start_server();
	CHECK(mount("none", "/run/sendfd", "overlay", 0, "lowerdir=/mnt/lower:/mnt/empty") == 0);
	make_known(in("/run/sendfd"));
}

PLANT_FUSE(an_overlay_that_answers_no_more, overlay_that_answers_no_more, .clear = unmount_fuse)

