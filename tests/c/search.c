/* A sender that looks for an inbox in the root of a container, whose root is hostile. */
#include "harness.h"

#include <limits.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#define NEEDS ROOT | NET_NAMESPACE | PIDFS | SECCOMP

static char name[64]; /* of the socket file of the target */

static void name_of(pid_t pid)
{
	struct stat stat;
	int pidfd = my_pidfd_open(pid);
	CHECK(pidfd >= 0 && fstat(pidfd, &stat) == 0);
	close(pidfd);
	snprintf(name, sizeof name, "sendfd.1.%lu.%d", (unsigned long)stat.st_ino, S);
}

static const char *in(const char *directory)
{
	static char paths[2][PATH_MAX];
	static int last;
	last = !last;
	snprintf(paths[last], PATH_MAX, "%s/%s", directory, name);
	return paths[last];
}

/* Directories that are nobody else's, where senders and receivers look, and /mnt. */
static void fresh_directories(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/mnt", "tmpfs", 0, "mode=755") == 0);
	CHECK(mount("none", "/run", "tmpfs", 0, "mode=755") == 0);
	CHECK(mount("none", "/dev/shm", "tmpfs", 0, "mode=1777") == 0);
	CHECK(unsetenv("SENDFD_DIR") == 0);
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int socket_ = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	CHECK(bind(socket_, (struct sockaddr *)&address, sizeof address) == 0, "%s", path);
	CHECK(listen(socket_, 0) == 0);
	return socket_;
}

static int connect_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	if (connect(socket_, (struct sockaddr *)&address, sizeof address) == 0)
		return socket_;
	close(socket_);
	return -1;
}

/* --- the sender: the host's root, which may not go to other network namespaces ---------------------------- */
static pid_t target;
static const struct timespec *timeout_;

static void sends(void *arg)
{
	refuse_call(SYS_setns, EPERM);
	int fd = make_memfd(8);
	long start = now_ms();
	int result = sendfds(target, S, &fd, 1, NULL, 0, timeout_);
	parent_tell(result);
	parent_tell(now_ms() - start);
	close(fd);
	(void)arg;
}

static int try_to_send(long ms)
{
	struct child child = fork_child(sends, NULL);
	int result = (int)child_hear(&child);
	long took = child_hear(&child);
	child_join(&child);
	CHECK(took < ms, "%ld ms", took);
	return result;
}

static int try_at_once(void)
{
	timeout_ = &NOW;
	return try_to_send(2000);
}

/* --- the container ------------------------------------------------------------------------------------------ */
struct plant {
	void (*put)(void); /* in its /run/sendfd, which is there */
	void (*clear)(void);
	bool leads_out; /* who follows the path gets to a socket of the host */
	int error;      /* of a send that does not wait, while there is no inbox; 0: ECONNREFUSED */
};

static const struct plant *plant;
static pid_t host;

static void is_hostile(void *arg)
{
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
	(void)arg;
}

static int decoy;
static void check_nobody_came(void) { CHECK(accept(decoy, NULL, NULL) < 0 && errno == EAGAIN); }

/* Nothing goes to what was planted, nobody waits for it, and the inbox in the other directory is found. */
static void check_plant(const struct plant *this)
{
	plant = this;
	host = getpid();
	fresh_directories();
	CHECK(mkdir("/mnt/decoy", 0755) == 0);
	struct child container = fork_child(is_hostile, NULL);
	target = container.pid;
	name_of(target);
	decoy = listen_at(in("/mnt/decoy"), SOCK_SEQPACKET);
	child_hear(&container);
	if (plant->leads_out) {
		char root[64];
		snprintf(root, sizeof root, "/proc/%d/root/run/sendfd", target);
		int link = connect_at(in(root));
		CHECK(link >= 0, "%s", in(root));
		close(link);
		close(accept(decoy, NULL, NULL));
	}
	CHECK_EQ(try_at_once(), -(plant->error ? plant->error : ECONNREFUSED));
	check_nobody_came();
	child_tell(&container, 0);
	child_hear(&container);
	CHECK_EQ(try_at_once(), 0);
	child_tell(&container, 0);
	child_join(&container);
	check_nobody_came();
	close(decoy);
}

#define PLANT(test, ...)                                                                                      \
	TEST_NEEDS(test, NEEDS)                                                                               \
	{                                                                                                     \
		static const struct plant this = {.put = __VA_ARGS__};                                               \
		check_plant(&this);                                                                           \
	}

static void no_more(void) { }
PLANT(nothing, no_more)

/* --- links ---------------------------------------------------------------------------------------------------- */
/* A link that nobody has followed today is not in memory alone: its time of access has to be written. */
static void make_link(const char *to, const char *path)
{
	const struct timespec times[2] = {{time(NULL) + 3600, 0}, {time(NULL), 0}};
	CHECK(symlink(to, path) == 0 && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}
static void link_directory(const char *to)
{
	CHECK(rmdir("/run/sendfd") == 0);
	make_link(to, "/run/sendfd");
}
static void link_file(const char *to) { make_link(to, in("/run/sendfd")); }
static const char *of_host(const char *path)
{
	static char text[PATH_MAX];
	snprintf(text, sizeof text, "/proc/%d/root%s", host, path);
	return text;
}

static void absolute_directory(void) { link_directory("/mnt/decoy"); }
static void relative_directory(void) { link_directory("../../../../../mnt/decoy"); }
static void magic_directory(void) { link_directory(of_host("/mnt/decoy")); }
static void looping_directory(void) { link_directory("/run/sendfd"); }
static void absolute_file(void) { link_file(in("/mnt/decoy")); }
static void relative_file(void) { link_file(in("../../../../../mnt/decoy")); }
static void magic_file(void) { link_file(of_host(in("/mnt/decoy"))); }

PLANT(an_absolute_link_for_the_directory, absolute_directory, .leads_out = true)
PLANT(a_relative_link_for_the_directory, relative_directory)
PLANT(a_magic_link_for_the_directory, magic_directory, .leads_out = true)
PLANT(a_link_to_itself, looping_directory)
PLANT(an_absolute_link_for_the_file, absolute_file, .leads_out = true)
PLANT(a_relative_link_for_the_file, relative_file)
PLANT(a_magic_link_for_the_file, magic_file, .leads_out = true)

static void mount_of_the_host(void)
{
	CHECK(mkdir("/mnt/host", 0755) == 0);
	link_directory("/mnt/host");
}

/* A link that stays inside is one like others. */
PLANT(a_link_to_an_empty_directory, mount_of_the_host)

/* --- files ---------------------------------------------------------------------------------------------------- */
static int listener, waiting[64];

static void fifo(void) { CHECK(mkfifo(in("/run/sendfd"), 0777) == 0); }
static void file(void) { close(open(in("/run/sendfd"), O_CREAT | O_CLOEXEC, 0777)); }
static void device(void) { CHECK(mknod(in("/run/sendfd"), S_IFCHR | 0777, makedev(1, 5)) == 0); }
static void directory(void) { CHECK(mkdir(in("/run/sendfd"), 0777) == 0); }
static void stream(void) { listener = listen_at(in("/run/sendfd"), SOCK_STREAM); }
static void dead(void) { close(listen_at(in("/run/sendfd"), SOCK_SEQPACKET)); }
static void close_listener(void) { close(listener); }
static void no_directory(void) { CHECK(rmdir("/run/sendfd") == 0 && mkfifo("/run/sendfd", 0777) == 0); }

PLANT(a_fifo, fifo)
PLANT(a_plain_file, file)
PLANT(a_device, device)
PLANT(a_directory, directory)
PLANT(a_stream_listener, stream, .clear = close_listener)
PLANT(a_dead_socket, dead)
PLANT(a_fifo_for_the_directory, no_directory)

/* A process of the container's root; it is connected to, and gets nothing. */
static pid_t other;
static int stop[2];

static void get_nothing(void)
{
	char bytes[64];
	int link, connections = 0;
	struct pollfd either[2] = {{listener, POLLIN, 0}, {stop[0], POLLIN, 0}};
	do {
		CHECK(poll(either, 2, -1) > 0);
		while ((link = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			CHECK(read(link, bytes, sizeof bytes) == 0);
			close(link);
			connections++;
		}
	} while (!either[1].revents);
	CHECK(connections > 0);
}

static void listens(void)
{
	int gate[2];
	CHECK(pipe2(gate, O_CLOEXEC) == 0 && pipe2(stop, O_CLOEXEC) == 0);
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		alarm(20);
		close(gate[0]);
		close(stop[1]);
		listener = listen_at(in("/run/sendfd"), SOCK_SEQPACKET);
		close(gate[1]);
		get_nothing();
		_exit(0);
	}
	char byte;
	close(gate[1]);
	close(stop[0]);
	CHECK(read(gate[0], &byte, 1) == 0);
	close(gate[0]);
}

static void has_got_nothing(void)
{
	close(stop[1]);
	CHECK(exited_well(other));
}

PLANT(a_socket_of_another_process, listens, .clear = has_got_nothing)

/* Connections wait there, as many as can. */
static void listens_in_vain_at(const char *path)
{
	listener = listen_at(path, SOCK_SEQPACKET);
	for (int i = 0; (waiting[i] = connect_at(path)) >= 0; i++)
		CHECK(i < 63);
	CHECK(errno == EAGAIN);
	/* it is not the target */
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		CHECK(listen(listener, 0) == 0);
		_exit(0);
	}
	CHECK(exited_well(other));
}
static void listens_in_vain(void) { listens_in_vain_at(in("/run/sendfd")); }
static void close_all(void)
{
	for (int i = 0; waiting[i] >= 0; i++)
		close(waiting[i]);
	close(listener);
}

PLANT(a_full_socket_of_another_process, listens_in_vain, .clear = close_all, .error = EAGAIN)

static void waits_in_its_place(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && mkdir("/run/sendfd", 0755) == 0);
	name_of(getpid());
	listens_in_vain();
	parent_tell(0);
	parent_hear();
	close_all();
	(void)arg;
}

static void ends_later(void *arg)
{
	waits_in_its_place(arg);
	_exit(0);
}

TEST_NEEDS(a_deadline_is_kept_at_a_full_socket, NEEDS)
{
	struct timespec brief = {0, 200000000};
	fresh_directories();
	struct child container = fork_child(ends_later, NULL);
	child_hear(&container);
	target = container.pid;
	timeout_ = &brief;
	CHECK_EQ(try_to_send(2000), -ETIMEDOUT);
	/* and its end is noticed */
	timeout_ = NULL;
	struct child sender = fork_child(sends, NULL);
	child_tell(&container, 0);
	child_join(&container);
	long result = child_hear(&sender); /* what it has open is closed before it counts as dead */
	CHECK(result == -ESRCH || result == -ECONNREFUSED, "%s", errno_name((int)-result));
	child_hear(&sender);
	child_join(&sender);
}

static void opens_later(void *arg)
{
	parent_hear();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_hear();
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void *tells_to_open(void *arg)
{
	poll(NULL, 0, 100); /* the other waits by then, most likely */
	child_tell(arg, 0);
	return NULL;
}

/* Where it has no file at all. */
TEST_NEEDS(an_inbox_is_found_behind_a_full_socket, NEEDS)
{
	char address[SENDFD_ADDRESS_MAX];
	sendfd_outbox *outbox = NULL;
	struct timespec limit = {10, 0};
	fresh_directories();
	struct child receiver = fork_child(opens_later, NULL);
	name_of(receiver.pid);
	listens_in_vain_at(in("/dev/shm"));
	snprintf(address, sizeof address, "sendfd.1/%s", name + strlen("sendfd.1."));
	*strchr(address + strlen("sendfd.1/"), '.') = '/';
	CHECK_ERR(sendfd_outbox_open_address(address, &NOW, &outbox), EAGAIN);
	pthread_t thread = thread_start(tells_to_open, &receiver);
	CHECK_OK(sendfd_outbox_open_address(address, &limit, &outbox));
	thread_join(thread);
	sendfd_outbox_close(outbox);
	close_all();
	child_tell(&receiver, 0);
	child_join(&receiver);
}

/* Neither the target's nor root's: it is not even connected to. */
static void of_a_user(void)
{
	listener = listen_at(in("/run/sendfd"), SOCK_SEQPACKET);
	CHECK(chown(in("/run/sendfd"), 2, 2) == 0);
}
static void nobody_came(void)
{
	CHECK(accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
	close(listener);
}

PLANT(a_socket_of_another_user, of_a_user, .clear = nobody_came)

/* --- file systems that do not answer ---------------------------------------------------------------------------- */
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
	file();
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

static void overlay(void)
{
	CHECK(mkdir("/mnt/lower", 0755) == 0 && mkdir("/mnt/upper", 0755) == 0 && mkdir("/mnt/work", 0755) == 0);
	if (mount("none", "/run/sendfd", "overlay", 0, "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work") != 0)
		SKIP("overlay: %s", errno_name(errno));
}

/* --- what is found ------------------------------------------------------------------------------------------------ */
static const char *listens_in;
static void (*made)(void);

static void is_honest(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && mkdir("/run/sendfd", 01777) == 0);
	if (made)
		made();
	CHECK(setenv("SENDFD_DIR", listens_in, 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void check_found(const char *directory, void (*make)(void))
{
	listens_in = directory;
	made = make;
	fresh_directories();
	struct child container = fork_child(is_honest, NULL);
	target = container.pid;
	child_hear(&container);
	CHECK_EQ(try_at_once(), 0);
	child_tell(&container, 0);
	child_join(&container);
}

static void elsewhere_by_a_link(void)
{
	CHECK(mkdir("/mnt/sockets", 0755) == 0);
	link_directory("/mnt/sockets");
}
static void elsewhere_by_a_relative_link(void)
{
	CHECK(mkdir("/mnt/sockets", 0755) == 0);
	link_directory("../mnt/sockets");
}

TEST_NEEDS(found_in_run_sendfd, NEEDS) { check_found("/run/sendfd", NULL); }
TEST_NEEDS(found_in_dev_shm, NEEDS) { check_found("/dev/shm", NULL); }
TEST_NEEDS(found_by_a_link_that_stays_inside, NEEDS) { check_found("/run/sendfd", elsewhere_by_a_link); }
TEST_NEEDS(found_by_a_relative_link, NEEDS) { check_found("/run/sendfd", elsewhere_by_a_relative_link); }
TEST_NEEDS(found_on_an_overlay, NEEDS) { check_found("/run/sendfd", overlay); }

static void have_only(unsigned capabilities)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{capabilities, capabilities, 0}, {0, 0, 0}};
	CHECK(syscall(SYS_capset, &head, sets) == 0);
}

/* In its own root, by a plain user, of a container in which there is nothing but its own. */
static void user_in_a_container(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0);
	become(*(uid_t *)arg);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	CHECK(setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
}

static void user_sends(void *arg)
{
	become(*(uid_t *)arg);
	int fd = make_memfd(8);
	parent_tell(sendfd(target, S, fd));
	close(fd);
}

TEST_NEEDS(found_by_a_plain_user, NEEDS)
{
	uid_t user = lonely_uid();
	fresh_directories();
	struct child container = fork_child(user_in_a_container, &user);
	target = container.pid;
	child_hear(&container);
	struct child sender = fork_child(user_sends, &user);
	CHECK_EQ(child_hear(&sender), 0);
	child_join(&sender);
	child_tell(&container, 0);
	child_join(&container);
}

/* From inside, without a right to look at the receiver's root, by a directory that both have. */
static void sends_from_inside(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	have_only(1 << CAP_KILL);
	char root[64];
	snprintf(root, sizeof root, "/proc/%d/root/run", target);
	CHECK(access(root, F_OK) < 0 && errno == EACCES);
	parent_tell(send_among_many(target, 8));
	(void)arg;
}

static void on_the_host(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

TEST_NEEDS(found_in_ones_own_root_where_the_other_is_closed, NEEDS)
{
	fresh_directories();
	CHECK(mkdir("/run/sendfd", 0755) == 0);
	struct child receiver = fork_child(on_the_host, NULL);
	target = receiver.pid;
	child_hear(&receiver);
	struct child sender = fork_child(sends_from_inside, NULL);
	CHECK_EQ(child_hear(&sender), 0);
	child_join(&sender);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

static void *goes_on_alone(void *arg)
{
	(void)arg;
	/* until the first thread is a zombie */
	for (char state = 0; state != 'Z';) {
		FILE *stat = fopen("/proc/self/stat", "re");
		CHECK(stat && fscanf(stat, "%*d %*s %c", &state) == 1);
		fclose(stat);
		sched_yield();
	}
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	_exit(0);
}

static void first_thread_ends(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	(void)arg;
	thread_start(goes_on_alone, NULL);
	pthread_exit(NULL);
}

TEST_NEEDS(found_though_the_first_thread_has_ended, NEEDS)
{
	fresh_directories();
	struct child container = fork_child(first_thread_ends, NULL);
	target = container.pid;
	child_hear(&container);
	CHECK_EQ(try_at_once(), 0);
	child_tell(&container, 0);
	child_join(&container);
}

static void changes_its_root(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	CHECK(mkdir("/mnt/dev", 0755) == 0 && mkdir("/mnt/dev/shm", 0755) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(chroot("/mnt") == 0 && chdir("/") == 0);
	parent_tell(0);
	parent_hear();
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	(void)arg;
}

TEST_NEEDS(not_found_after_a_change_of_root, NEEDS)
{
	fresh_directories();
	struct child container = fork_child(changes_its_root, NULL);
	target = container.pid;
	child_hear(&container);
	CHECK_EQ(try_at_once(), -ECONNREFUSED);
	child_tell(&container, 0);
	child_join(&container);
}
