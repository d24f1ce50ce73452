/* A receiver whose own uid says nothing, in doubt about its sender: it is gone, or cannot be seen, or the
 * table is too full to ask. */
#include "harness.h"

#include <sched.h>
#include <sys/prctl.h>

static pid_t target;
static uid_t user;
static unsigned flags;

static void plain(void)
{
	become(user);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* as a process that always had this user */
}

static void without_map(void)
{
	plain();
	CHECK(unshare(CLONE_NEWUSER) == 0);
	CHECK_EQ(getuid(), 65534);
}

#define USERS ROOT | USER_NAMESPACE

/* Nobody can be asked about the dead: who is gone and forgotten before the receiver looks is refused. */
static void receives_nothing(void *arg)
{
	(void)arg;
	without_map();
	sendfd_inbox *inbox = open_inbox(S, flags);
	parent_tell(0);
	parent_hear();
	expect_empty(inbox);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
}

static void sends_and_ends(void *arg)
{
	plain();
	CHECK_OK(sendfd(target, S, *(int *)arg));
}

TEST_NEEDS(the_own_user_who_is_gone, USERS | PEER_PIDFDS)
{
	user = lonely_uid();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child to = fork_child(receives_nothing, NULL);
		child_hear(&to);
		target = to.pid;
		struct witness w = make_witness();
		struct child from = fork_child(sends_and_ends, &w.sent);
		close(w.sent);
		child_join(&from);
		child_tell(&to, 0);
		child_hear(&to);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
		child_tell(&to, 0);
		child_join(&to);
	}
}

/* To ask takes a descriptor. Without room for it the connection waits, and with it what was sent. */
static void receives_at_a_full_table(void *arg)
{
	static int hoard[256];
	int hoarded = 0;
	(void)arg;
	without_map();
	set_limit(RLIMIT_NOFILE, 100);
	sendfd_inbox *inbox = open_inbox(S, flags);
	parent_tell(0);
	parent_hear();
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	CHECK(errno == EMFILE && hoarded > 0);
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMFILE);
		CHECK(readable(sendfd_inbox_fileno(inbox)) || !(flags & SENDFD_INBOX_NOSIGNAL));
	}
	while (hoarded > 0)
		close(hoard[--hoarded]);
	expect_number(inbox, 8);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void sends_and_stays(void *arg)
{
	(void)arg;
	plain();
	send_memfd(target, 8);
	parent_tell(0);
	parent_hear();
}

TEST_NEEDS(a_table_too_full_to_ask, USERS | PEER_PIDFDS)
{
	user = lonely_uid();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child to = fork_child(receives_at_a_full_table, NULL), from;
		child_hear(&to);
		target = to.pid;
		from = fork_child(sends_and_stays, NULL);
		child_hear(&from);
		child_tell(&to, 0);
		child_join(&to);
		child_tell(&from, 0);
		child_join(&from);
	}
}

static void is_refused(void *arg)
{
	(void)arg;
	plain();
	CHECK_ERR(sendfd(target, S, 2), EPERM);
}

/* A receiver that cannot see its sender cannot ask about it either: the sender is told. */
static void inner_receiver(void *arg)
{
	int gate[2];
	char byte;
	without_map();
	CHECK(unshare(CLONE_NEWPID) == 0 && pipe2(gate, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(20);
		close(gate[1]);
		CHECK(read(gate[0], &byte, 1) == 0); /* its pid is told first */
		sendfd_inbox *inbox = open_inbox(S, *(unsigned *)arg);
		parent_tell(0);
		parent_hear();
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
		_exit(0);
	}
	parent_tell(pid);
	close(gate[1]);
	CHECK(exited_well(pid));
}

TEST_NEEDS(the_own_user_who_cannot_be_seen, USERS | PIDFS | PID_NAMESPACE)
{
	user = lonely_uid();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child to = fork_child(inner_receiver, &flags);
		target = (pid_t)child_hear(&to);
		child_hear(&to);
		struct child from = fork_child(is_refused, NULL);
		child_join(&from);
		child_tell(&to, 0);
		child_join(&to);
	}
}
