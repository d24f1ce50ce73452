/* Whom the receiver sees, and whom it lets in, when real and effective user differ or change. */
#include "harness.h"

#include <grp.h>

static pid_t target;
static uid_t mine; /* the receiver's user */

static void send_number(long number)
{
	int fd = make_memfd(number);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
}

static void changes_and_sends(void *arg)
{
	(void)arg;
	send_number(1);
	CHECK(setgroups(0, NULL) == 0 && setresgid(4321, 4321, 4321) == 0 && setresuid(mine + 1, 0, 0) == 0);
	send_number(2);
	become(mine + 2);
	send_number(3); /* on the kept link, which was made by one who was allowed to */
	parent_tell(0);
	parent_hear();
	CHECK_ERR(sendfd(target, S + 1, 2), EPERM); /* but no new one */
}

/* Real user and group as they are at each send, not as they were when the link was made. */
TEST_NEEDS(the_sender_as_it_is_at_each_send, ROOT)
{
	target = getpid();
	mine = lonely_uid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child sender = fork_child(changes_and_sends, NULL);
		child_hear(&sender);
		uid_t uids[] = {0, mine + 1, mine + 2};
		gid_t gids[] = {getgid(), 4321, mine + 2};
		for (int i = 0; i < 3; i++) {
			sendfd_info info;
			take_number(recv_soon(inbox, &info), i + 1);
			CHECK_EQ(info.pid, sender.pid);
			CHECK_EQ(info.uid, uids[i]);
			CHECK_EQ(info.gid, gids[i]);
		}
		child_tell(&sender, 0);
		child_join(&sender);
		sendfd_inbox_close(inbox);
	}
}

static void receiver(void *arg)
{
	(void)arg;
	become(mine);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 5);
	CHECK_EQ(info.uid, mine + 1); /* the real one */
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void effective_is_ours(void *arg)
{
	(void)arg;
	CHECK(setresuid(mine + 1, mine, mine + 1) == 0);
	send_number(5);
}

/* It may signal the receiver (kill(2) looks at the real user, too), but would not be let in: it is told
 * so, and nothing that counts as sent gets lost. */
static void only_real_is_ours(void *arg)
{
	(void)arg;
	CHECK(setresuid(mine, mine + 1, mine + 1) == 0);
	CHECK(kill(target, 0) == 0);
	CHECK_ERR(sendfd(target, S, 2), EPERM);
}

TEST_NEEDS(the_effective_user_decides, ROOT)
{
	mine = lonely_uid();
	struct child child = fork_child(receiver, NULL), sender;
	child_hear(&child);
	target = child.pid;
	sender = fork_child(only_real_is_ours, NULL);
	child_join(&sender);
	sender = fork_child(effective_is_ours, NULL);
	child_join(&sender);
	child_tell(&child, 0);
	child_join(&child);
}

static void *sends_from_a_thread(void *arg)
{
	(void)arg;
	send_number(6);
	return NULL;
}

static void threads_and_children(void *arg)
{
	(void)arg;
	thread_join(thread_start(sends_from_a_thread, NULL));
	pid_t pid = fork();
	if (pid == 0) {
		send_number(7);
		_exit(0);
	}
	CHECK(exited_well(pid));
	parent_tell(pid);
}

/* A thread sends as its process; a child as itself. */
TEST(the_process_of_threads_and_children)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(threads_and_children, NULL);
	pid_t grandchild = (pid_t)child_hear(&sender);
	for (int i = 0; i < 2; i++) {
		sendfd_info info;
		int fd = recv_soon(inbox, &info);
		CHECK_EQ(info.pid, memfd_number(fd) == 6 ? sender.pid : grandchild);
		close(fd);
	}
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

static char name[64];

static void lies_about_itself(void *arg)
{
	(void)arg;
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	memset(&control, 0, sizeof control);
	struct wire wire = WIRE(1, 0);
	struct iovec part = {&wire, sizeof wire};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	struct ucred other = {getppid(), 4711, 4712};
	int fd = 2, link = raw_connect(name);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	*head = (struct cmsghdr){CMSG_LEN(sizeof other), SOL_SOCKET, SCM_CREDENTIALS};
	memcpy(CMSG_DATA(head), &other, sizeof other);
	head = CMSG_NXTHDR(&message, head);
	*head = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(head), &fd, sizeof fd);
	CHECK(sendmsg(link, &message, MSG_NOSIGNAL) == sizeof wire);
	parent_tell(0);
	parent_hear();
}

/* The kernel lets root name other credentials than its own: a parcel from root is root's word. */
TEST_NEEDS(root_can_lie_about_itself, ROOT)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
	struct child root = fork_child(lies_about_itself, NULL);
	child_hear(&root);
	sendfd_info info;
	close(recv_soon(inbox, &info));
	CHECK_EQ(info.pid, getpid());
	CHECK_EQ(info.uid, 4711);
	CHECK_EQ(info.gid, 4712);
	child_tell(&root, 0);
	child_join(&root);
	sendfd_inbox_close(inbox);
}
