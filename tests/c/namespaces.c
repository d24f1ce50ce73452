/* Namespaces, privilege and sandboxes: the table in docs/namespaces.md, a test for each line. */
#include "harness.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define SENDER (-1) /* the receiver sees the sender's pid */
#define MINE ((uid_t)-1) /* the test's own user */
#define PLAIN ((uid_t)-2)

struct side {
	void (*enter)(void); /* what the process does before it opens or sends */
	bool inner;          /* a child does it, in the namespace that was entered */
	void (*then)(void);  /* after it has opened; between a first send and the one that counts */
};

struct cell {
	struct side receiver, sender;
	bool by_pidfd;
	int error; /* 0: it arrives */
	pid_t pid; /* that the receiver sees */
	uid_t uid;
};

static const struct cell *cell;
static unsigned flags;
static uid_t user; /* lonely, where this test can become another */
static pid_t target;
static int target_pidfd;

static void opens_and_receives(void)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	if (cell->receiver.then)
		cell->receiver.then();
	parent_tell(0);
	if (cell->sender.then)
		expect_number(inbox, 7);
	if (parent_hear()) {
		sendfd_info info;
		take_number(recv_soon(inbox, &info), 8);
		parent_tell(info.pid);
		parent_tell((long)info.uid);
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static int send_number(long number)
{
	int fd = make_memfd(number);
	int result = cell->by_pidfd ? sendfd_pidfd(target_pidfd, S, fd) : sendfd(target, S, fd);
	close(fd);
	return result;
}

static void sends(void)
{
	if (cell->sender.then) {
		CHECK_OK(send_number(7));
		cell->sender.then();
	}
	parent_tell(send_number(8));
}

static void play(const struct side *side, void (*part)(void))
{
	if (side->enter)
		side->enter();
	if (!side->inner) {
		parent_tell(getpid());
		part();
		return;
	}
	int gate[2];
	CHECK(pipe2(gate, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char byte;
		limit_time(20);
		close(gate[1]);
		CHECK(read(gate[0], &byte, 1) == 0);
		part();
		_exit(0);
	}
	parent_tell(pid); /* as it is called out here */
	close(gate[0]);
	close(gate[1]);
	CHECK(exited_well(pid));
}

static void receiver(void *arg)
{
	(void)arg;
	play(&cell->receiver, opens_and_receives);
}

static void sender(void *arg)
{
	(void)arg;
	play(&cell->sender, sends);
}

static void check_cell(const struct cell *this)
{
	cell = this;
	user = getuid() == 0 ? lonely_uid() : getuid();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child to = fork_child(receiver, NULL);
		target = (pid_t)child_hear(&to);
		child_hear(&to);
		target_pidfd = my_pidfd_open(target);
		struct child from = fork_child(sender, NULL);
		pid_t pid = (pid_t)child_hear(&from);
		int result = (int)child_hear(&from);
		CHECK(result == -cell->error, "%s", errno_name(-result));
		child_join(&from); /* gone before the other one looks */
		child_tell(&to, result == 0);
		if (result == 0) {
			CHECK_EQ(child_hear(&to), cell->pid == SENDER ? pid : cell->pid);
			uid_t uid = cell->uid == MINE ? getuid() : cell->uid == PLAIN ? user : cell->uid;
			CHECK_EQ((uid_t)child_hear(&to), uid);
		}
		child_join(&to);
		if (target_pidfd >= 0)
			close(target_pidfd);
	}
}

#define AS_IS {NULL, false, NULL}
#define IN(enter) {enter, false, NULL}
#define INNER(enter) {enter, true, NULL}
#define THEN(enter, then) {enter, false, then}
#define CELL(name, needs, ...)                                                                                \
	TEST_NEEDS(name, needs)                                                                               \
	{                                                                                                     \
		static const struct cell this = {__VA_ARGS__};                                                \
		check_cell(&this);                                                                            \
	}

/* --- users ----------------------------------------------------------------------------------------- */
static void plain(void)
{
	if (getuid() != user)
		become(user);
	/* as a process that always had this user */
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}
static void another(void) { become(user + 1000000); }

static void undumpable(void)
{
	plain();
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}

CELL(same_user, 0, IN(plain), IN(plain), .pid = SENDER, .uid = PLAIN)
CELL(other_user, ROOT, IN(plain), IN(another), .error = EPERM)
CELL(root_to_user, ROOT, IN(plain), AS_IS, .pid = SENDER, .uid = 0)
CELL(user_to_root, ROOT, AS_IS, IN(plain), .error = EPERM)
CELL(from_undumpable, 0, IN(plain), IN(undumpable), .pid = SENDER, .uid = PLAIN)
CELL(to_undumpable, 0, IN(undumpable), IN(plain), .pid = SENDER, .uid = PLAIN)

static void powerless(void) { have_only(0); }

static void another_who_may_kill(void)
{
	CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	another();
	have_only(1 << CAP_KILL);
	CHECK(kill(target, 0) == 0);
}

CELL(powerless_root_to_user, ROOT, IN(plain), IN(powerless), .error = EPERM)
CELL(powerless_root_to_root, ROOT, AS_IS, IN(powerless), .pid = SENDER, .uid = 0)
CELL(user_to_powerless_root, ROOT, IN(powerless), IN(plain), .error = EPERM)
CELL(other_user_who_may_kill, ROOT, IN(plain), IN(another_who_may_kill), .error = EPERM)

/* --- pid namespaces ---------------------------------------------------------------------------------- */
static void new_pids(void) { CHECK(unshare(CLONE_NEWPID) == 0); }
#define PIDS ROOT | PIDFS | PID_NAMESPACE

CELL(to_a_child_pid_namespace, PIDS, INNER(new_pids), AS_IS, .pid = 0, .uid = 0)
CELL(from_a_child_pid_namespace, PIDS, AS_IS, INNER(new_pids), .by_pidfd = true, .pid = SENDER, .uid = 0)
CELL(between_sibling_pid_namespaces, PIDS, INNER(new_pids), INNER(new_pids), .by_pidfd = true, .pid = 0, .uid = 0)
CELL(a_pid_of_another_namespace, PIDS, AS_IS, INNER(new_pids), .error = ESRCH)

/* --- user namespaces --------------------------------------------------------------------------------- */
static void write_map(const char *path, uid_t outside)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CLOEXEC), n = snprintf(text, sizeof text, "0 %u 1", outside);
	CHECK(fd >= 0 && write(fd, text, (size_t)n) == n, "%s", path);
	close(fd);
}

static void new_users(void)
{
	plain();
	CHECK(unshare(CLONE_NEWUSER) == 0);
	write_map("/proc/self/uid_map", user);
	CHECK(getuid() == 0);
}

CELL(from_a_user_namespace, USER_NAMESPACE, IN(plain), IN(new_users), .pid = SENDER, .uid = PLAIN)
CELL(to_a_user_namespace, USER_NAMESPACE, IN(new_users), IN(plain), .pid = SENDER, .uid = 0)
CELL(root_of_a_user_namespace_to_other_user, ROOT | USER_NAMESPACE, IN(another), IN(new_users), .error = EPERM)
CELL(root_to_a_user_namespace_without_root, ROOT | USER_NAMESPACE, IN(new_users), AS_IS, .error = EPERM)

/* --- time namespaces --------------------------------------------------------------------------------- */
static void new_times(void)
{
	CHECK(unshare(CLONE_NEWTIME) == 0);
	int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "boottime 86400 0", 16) == 16);
	close(fd);
}

CELL(from_another_time_namespace, ROOT | PIDFS | TIME_NAMESPACE, AS_IS, INNER(new_times), .pid = SENDER, .uid = 0)
CELL(to_another_time_namespace, ROOT | PIDFS | TIME_NAMESPACE, INNER(new_times), AS_IS, .pid = SENDER, .uid = 0)

/* --- network namespaces -------------------------------------------------------------------------------- */
static void new_network(void) { CHECK(unshare(CLONE_NEWNET) == 0); }

static void plain_in_a_new_network(void)
{
	new_network();
	plain();
}

static void powerless_in_a_new_network(void)
{
	new_network();
	powerless();
}

#define NETWORKS ROOT | NET_NAMESPACE
CELL(a_user_from_another_network_namespace, NETWORKS, IN(plain), IN(plain_in_a_new_network), .error = ECONNREFUSED)
CELL(a_user_to_another_network_namespace, NETWORKS, IN(plain_in_a_new_network), IN(plain), .error = ECONNREFUSED)
CELL(powerless_root_to_another_network_namespace, NETWORKS, IN(new_network), IN(powerless), .error = ECONNREFUSED)
CELL(powerless_root_from_another_network_namespace, NETWORKS, AS_IS, IN(powerless_in_a_new_network), .error = ECONNREFUSED)
CELL(root_to_another_network_namespace, NETWORKS, IN(new_network), AS_IS, .pid = SENDER, .uid = 0)
CELL(root_to_a_user_in_another_network_namespace, NETWORKS, IN(plain_in_a_new_network), AS_IS, .pid = SENDER, .uid = 0)
CELL(root_from_another_network_namespace, NETWORKS, AS_IS, IN(new_network), .pid = SENDER, .uid = 0)

static void new_pids_and_network(void)
{
	new_network();
	new_pids();
}

CELL(root_to_other_pids_and_network, PIDS | NET_NAMESPACE, INNER(new_pids_and_network), AS_IS, .pid = 0, .uid = 0)
CELL(root_from_other_pids_and_network, PIDS | NET_NAMESPACE, AS_IS, INNER(new_pids_and_network), .by_pidfd = true,
     .pid = SENDER, .uid = 0)
/* Sockets stay in the namespace where they were made. */
CELL(to_a_network_left_after_opening, ROOT | NET_NAMESPACE, THEN(NULL, new_network), AS_IS, .pid = SENDER, .uid = 0)
CELL(from_a_network_left_after_a_send, ROOT | NET_NAMESPACE, AS_IS, THEN(NULL, new_network), .pid = SENDER, .uid = 0)

/* --- mount namespaces, /proc --------------------------------------------------------------------------- */
static void new_mounts(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

static void hidden_pids(void)
{
	new_mounts();
	if (mount("proc", "/proc", "proc", 0, "hidepid=2") != 0)
		SKIP("mount: %s", errno_name(errno));
	plain();
	CHECK(access("/proc/1", F_OK) < 0);
}

static void no_proc(void)
{
	new_mounts();
	CHECK(mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == 0);
}

#define MOUNTS ROOT | PID_NAMESPACE
CELL(from_another_mount_namespace, MOUNTS, AS_IS, IN(new_mounts), .pid = SENDER, .uid = 0)
CELL(to_another_mount_namespace, MOUNTS, IN(new_mounts), AS_IS, .pid = SENDER, .uid = 0)
CELL(from_hidepid, MOUNTS, IN(plain), IN(hidden_pids), .pid = SENDER, .uid = PLAIN)
CELL(to_hidepid, MOUNTS, IN(hidden_pids), IN(plain), .pid = SENDER, .uid = PLAIN)
CELL(root_to_hidepid, MOUNTS, IN(hidden_pids), AS_IS, .pid = SENDER, .uid = 0)
CELL(from_without_proc, MOUNTS | PIDFS, AS_IS, IN(no_proc), .pid = SENDER, .uid = 0)
CELL(to_without_proc, MOUNTS | PIDFS, IN(no_proc), AS_IS, .pid = SENDER, .uid = 0)

/* --- sandboxes ----------------------------------------------------------------------------------------- */
static void no_sockets(void) { CHECK(landlock_scope(ABSTRACT_SOCKETS)); }
static void no_signals(void) { CHECK(landlock_scope(SIGNALS)); }

CELL(from_a_landlock_socket_scope, LANDLOCK_SCOPES, AS_IS, IN(no_sockets), .error = EPERM)
CELL(to_a_landlock_socket_scope, LANDLOCK_SCOPES, IN(no_sockets), AS_IS, .pid = SENDER, .uid = MINE)
CELL(from_a_landlock_signal_scope, LANDLOCK_SCOPES, AS_IS, IN(no_signals), .error = EPERM)
CELL(to_a_landlock_signal_scope, LANDLOCK_SCOPES, IN(no_signals), AS_IS, .pid = SENDER, .uid = MINE)

TEST_NEEDS(within_one_landlock_scope, LANDLOCK_SCOPES)
{
	static const struct cell this = {.pid = SENDER, .uid = MINE};
	CHECK(landlock_scope(ABSTRACT_SOCKETS | SIGNALS));
	check_cell(&this);
}

CELL(from_a_container_filter, SECCOMP, AS_IS, IN(be_contained), .pid = SENDER, .uid = MINE)
CELL(to_a_container_filter, SECCOMP, IN(be_contained), AS_IS, .pid = SENDER, .uid = MINE)
CELL(between_container_filters, SECCOMP, IN(be_contained), IN(be_contained), .pid = SENDER, .uid = MINE)

static void be_contained_as_before_pidfds(void)
{
	be_contained();
	refuse_call(SYS_pidfd_open, EPERM);
	refuse_call(SYS_pidfd_send_signal, EPERM);
	refuse_call(SYS_close_range, EPERM);
}

CELL(from_an_old_container_filter, SECCOMP | PIDFS, AS_IS, IN(be_contained_as_before_pidfds), .error = ECONNREFUSED)
CELL(to_an_old_container_filter, SECCOMP, IN(be_contained_as_before_pidfds), AS_IS, .pid = SENDER, .uid = MINE)
CELL(between_old_container_filters, SECCOMP, IN(be_contained_as_before_pidfds), IN(be_contained_as_before_pidfds),
     .pid = SENDER, .uid = MINE)

/* Entered late: the receiver's inbox stays open, the sender's connection is kept. */
CELL(to_a_landlock_scope_entered_late, LANDLOCK_SCOPES, THEN(NULL, no_sockets), AS_IS, .pid = SENDER, .uid = MINE)
CELL(from_a_landlock_scope_entered_late, LANDLOCK_SCOPES, AS_IS, THEN(NULL, no_sockets), .pid = SENDER, .uid = MINE)
CELL(to_a_container_filter_entered_late, SECCOMP, THEN(NULL, be_contained), AS_IS, .pid = SENDER, .uid = MINE)
CELL(from_a_container_filter_entered_late, SECCOMP, AS_IS, THEN(NULL, be_contained), .pid = SENDER, .uid = MINE)
