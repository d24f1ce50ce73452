/* Messages that come with other credentials than their sender's. */
#include "harness.h"

#include <sched.h>
#include <sys/prctl.h>

static pid_t target;
static char name[64];
static struct ucred claimed;
static int sent;

static void send_with_claimed(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	memset(&control, 0, sizeof control);
	struct wire wire = WIRE(1, 0);
	struct iovec part = {&wire, sizeof wire};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	int link = raw_connect(name);
	CHECK(link >= 0, "%s", errno_name(-link));
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	*head = (struct cmsghdr){CMSG_LEN(sizeof claimed), SOL_SOCKET, SCM_CREDENTIALS};
	memcpy(CMSG_DATA(head), &claimed, sizeof claimed);
	head = CMSG_NXTHDR(&message, head);
	*head = (struct cmsghdr){CMSG_LEN(sizeof sent), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(head), &sent, sizeof sent);
	CHECK(sendmsg(link, &message, MSG_NOSIGNAL) == sizeof wire);
	close(sent);
	parent_tell(0);
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	parent_tell(p.revents & POLLHUP);
}

static void claims_others_users(void *arg)
{
	(void)arg;
	claimed = (struct ucred){getpid(), 4711, 4712};
	send_with_claimed();
}

/* The kernel lets root name other users than its own: a parcel from root is root's word. */
TEST_NEEDS(root_can_lie_about_its_user, ROOT)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
	sent = dup(2);
	struct child root = fork_child(claims_others_users, NULL);
	close(sent);
	child_hear(&root);
	sendfd_info info;
	close(recv_soon(inbox, &info));
	CHECK_EQ(info.pid, root.pid);
	CHECK_EQ(info.uid, 4711);
	CHECK_EQ(info.gid, 4712);
	child_tell(&root, 0);
	CHECK_EQ(child_hear(&root), 0);
	child_join(&root);
	sendfd_inbox_close(inbox);
}

/* But nobody can lie about its pid: the kernel has recorded who connected. */
static void lie_is_refused(void (*liar)(void *))
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		inbox_name(getpid(), S, name, sizeof name);
		target = getpid();
		struct witness w = make_witness();
		sent = w.sent;
		struct child child = fork_child(liar, NULL);
		close(w.sent);
		child_hear(&child);
		int fds = count_fds(), lowest = lowest_free();
		expect_empty(inbox);
		CHECK(count_fds() == fds && lowest_free() == lowest);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
		child_tell(&child, 0);
		CHECK(child_hear(&child) != 0, "its connection is not closed");
		child_join(&child);
		send_memfd(target, 6);
		expect_number(inbox, 6);
		sendfd_inbox_close(inbox);
	}
}

static void claims_its_parent(void *arg)
{
	(void)arg;
	claimed = (struct ucred){getppid(), getuid(), getgid()};
	send_with_claimed();
}

TEST_NEEDS(root_cannot_lie_about_its_pid, ROOT) { lie_is_refused(claims_its_parent); }

static void write_number(const char *path, const char *format, unsigned number)
{
	char text[64];
	int n = snprintf(text, sizeof text, format, number), fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, (size_t)n) == n, "%s", path);
	close(fd);
}

/* In a pid namespace of its own a plain user may claim every pid that is visible there. */
static void claims_another_in_its_namespace(void *arg)
{
	(void)arg;
	int up[2];
	char byte;
	uid_t uid = getuid();
	gid_t gid = getgid();
	CHECK(unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0 && pipe(up) == 0);
	write_number("/proc/self/uid_map", "0 %u 1", uid);
	write_number("/proc/self/setgroups", "deny", 0);
	write_number("/proc/self/gid_map", "0 %u 1", gid);
	pid_t first = fork();
	CHECK(first >= 0);
	if (first == 0) {
		limit_time(20);
		pid_t innocent = fork();
		if (innocent == 0) {
			close(up[1]);
			close(sent);
			CHECK(read(up[0], &byte, 1) == 0);
			_exit(0);
		}
		CHECK(getpid() == 1 && innocent > 1);
		claimed = (struct ucred){innocent, getuid(), getgid()};
		send_with_claimed();
		_exit(0);
	}
	close(sent);
	close(up[1]);
	CHECK(exited_well(first));
}

TEST_NEEDS(a_plain_user_cannot_lie_about_its_pid, USER_NAMESPACE)
{
	if (getuid() == 0)
		become(lonely_uid());
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	lie_is_refused(claims_another_in_its_namespace);
}

/* One who has a connection from another process by hand: its messages would come under that one's name. */
static void lets_a_child_send(void *arg)
{
	(void)arg;
	struct wire wire = WIRE(1, 0);
	int link = raw_connect(name);
	CHECK(link >= 0);
	pid_t pid = fork();
	if (pid == 0) {
		CHECK_EQ(raw_send(link, &wire, sizeof wire, &sent, 1), 0);
		_exit(0);
	}
	close(sent);
	CHECK(exited_well(pid));
	parent_tell(0);
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	parent_tell(p.revents & POLLHUP);
}

TEST(a_connection_is_of_one_process) { lie_is_refused(lets_a_child_send); }
