/* Whom the receiver sees, and whom it lets in, when real and effective user differ or change. */
#include "harness.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

static pid_t target;
static uid_t mine; /* the receiver's user */

static void changes_and_sends(void *arg)
{
	(void)arg;
	send_memfd(target, 1);
	CHECK(setgroups(0, NULL) == 0 && setresgid(4321, 4321, 4321) == 0 && setresuid(mine + 1, 0, 0) == 0);
	send_memfd(target, 2);
	become(mine + 2);
	send_memfd(target, 3); /* on the kept link, which was made by one who was allowed to */
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
	send_memfd(target, 5);
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
	send_memfd(target, 6);
	return NULL;
}

static void threads_and_children(void *arg)
{
	(void)arg;
	thread_join(thread_start(sends_from_a_thread, NULL));
	pid_t pid = fork();
	if (pid == 0) {
		send_memfd(target, 7);
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

/* --- users whose names stand in few places ---------------------------------------------------------------- */
static uid_t real_effective_saved[3];

static void receiver_of_three(void *arg)
{
	(void)arg;
	const uid_t *uids = real_effective_saved;
	CHECK(setresuid(uids[0], uids[1], uids[2]) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	if (parent_hear() == 0)
		expect_number(inbox, 5);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void sender_of_one(void *arg)
{
	uid_t uid = *(uid_t *)arg;
	CHECK(uid == getuid() || setresuid(uid, uid, uid) == 0);
	int fd = make_memfd(5);
	parent_tell(sendfd(target, S, fd));
	close(fd);
	parent_hear();
}

static void check_three(uid_t real, uid_t effective, uid_t saved, uid_t by, int expected)
{
	memcpy(real_effective_saved, (uid_t[]){real, effective, saved}, sizeof real_effective_saved);
	struct child to = fork_child(receiver_of_three, NULL), from;
	child_hear(&to);
	target = to.pid;
	from = fork_child(sender_of_one, &by);
	long result = child_hear(&from);
	CHECK(result == -expected, "%u %u %u from %u: %s", real, effective, saved, by, errno_name((int)-result));
	child_tell(&to, result);
	child_join(&to);
	child_tell(&from, 0);
	child_join(&from);
}

static void check_all_three(uid_t one, uid_t two)
{
	check_three(one, one, two, two, 0); /* the saved one */
	check_three(two, one, one, two, 0); /* the real one */
	check_three(one, two, one, two, EPERM); /* the effective one alone is not asked for by kill(2) either */
	check_three(one, one, two, one, 0);
	check_three(one, one, one, two, EPERM);
}

TEST_NEEDS(the_real_and_the_saved_user_of_the_receiver, ROOT) { check_all_three(lonely_uid(), lonely_uid() + 1000000); }

/* The same inside of a user namespace whose numbers are others than those outside, where root is another. */
static void users_inside(void *arg)
{
	(void)arg;
	CHECK(unshare(CLONE_NEWUSER) == 0);
	parent_tell(0);
	parent_hear(); /* the map is written */
	CHECK(setresuid(0, 0, 0) == 0);
	check_all_three(5, 6);
	check_three(5, 5, 5, 0, 0); /* root there */
	check_three(0, 0, 0, 5, EPERM);
	check_three(65534, 65534, 65534, 65534, peers_can_be_asked_for() ? 0 : EPERM);
	check_three(5, 5, 5, 65534, EPERM);
}

TEST_NEEDS(users_of_a_namespace_with_other_numbers, ROOT | USER_NAMESPACE)
{
	char path[64], map[32];
	struct child child = fork_child(users_inside, NULL);
	child_hear(&child);
	snprintf(path, sizeof path, "/proc/%d/uid_map", (int)child.pid);
	int n = snprintf(map, sizeof map, "0 %u 65535", lonely_uid()), fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, map, (size_t)n) == n, "%s", path);
	close(fd);
	child_tell(&child, 0);
	child_join(&child);
}
