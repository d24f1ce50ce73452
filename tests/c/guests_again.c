/* The second contact of a guest, or of somebody who may be nothing else by now. */
#include "harness.h"

static pid_t receiver;
static uid_t guest;

static sendfd_inbox *open_to(uid_t uid)
{
	sendfd_inbox_options options = {.size = sizeof options, .directory = "", .uids = &uid, .nuids = 1};
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	receiver = getpid();
	return inbox;
}

static int send_now(int sig) { return sendfds(receiver, sig, NULL, 0, "x", 1, &NOW); }

static void receive_one(sendfd_inbox *inbox)
{
	char byte;
	struct timespec limit = in_ms(10000);
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &byte, 1, NULL, &limit), 0);
}

static void sends_by_number_and_pidfd(void *arg)
{
	int pidfd = my_pidfd_open(receiver), fd = make_memfd(7);
	become(guest);
	CHECK_ERR(send_now(S), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_OK(send_now(S));
	int before = count_fds();
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	CHECK_EQ(count_fds(), before);
	close(fd);
	close(pidfd);
	(void)arg;
}

TEST_NEEDS(by_pidfd_over_the_same_connection, ROOT | PIDFS)
{
	guest = lonely_uid();
	sendfd_inbox *inbox = open_to(guest);
	struct child child = fork_child(sends_by_number_and_pidfd, NULL);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	receive_one(inbox);
	expect_number(inbox, 7);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

/* A connection from the time before is none of a guest. */
static void sends_as_root_and_as_nobody(void *arg)
{
	int pidfd = my_pidfd_open(receiver), fd = make_memfd(7);
	CHECK_OK(send_now(S));
	become(guest);
	CHECK_ERR(sendfd_pidfd(pidfd, S, fd), EPERM);
	close(fd);
	close(pidfd);
	(void)arg;
}

TEST_NEEDS(by_pidfd_after_a_change_of_user, ROOT | PIDFS)
{
	guest = lonely_uid();
	receiver = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child child = fork_child(sends_as_root_and_as_nobody, NULL);
	child_join(&child);
	receive_one(inbox);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* A look for links of no use, which every first contact is, leaves it what it has to learn. */
static void looks_elsewhere_meanwhile(void *arg)
{
	become(guest + 1);
	CHECK_ERR(send_now(S), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_now(S + 1), EPERM);
	CHECK_ERR(send_now(S), EPERM);
	(void)arg;
}

TEST_NEEDS(who_is_turned_away_learns_it_after_another_contact, ROOT)
{
	guest = lonely_uid();
	sendfd_inbox *inbox = open_to(guest);
	struct child child = fork_child(looks_elsewhere_meanwhile, NULL);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

/* A raw clone of the receiver holds the connection, which it has not looked at, and its listeners. */
static void dies_with_a_clone(void *arg)
{
	open_to(guest);
	parent_tell(0);
	parent_hear();
	parent_tell(clone_that_stays());
	_exit(0);
	(void)arg;
}

static void asks_for_the_dead(void *arg)
{
	become(guest);
	CHECK_ERR(send_now(S), EAGAIN);
	parent_tell(1);
	parent_hear();
	int sent = send_now(S);
	CHECK(sent == -ESRCH || sent == -EPERM, "%s", errno_name(-sent));
	(void)arg;
}

TEST_NEEDS(a_dead_receiver_with_a_raw_clone, ROOT)
{
	guest = lonely_uid();
	struct child dying = fork_child(dies_with_a_clone, NULL);
	child_hear(&dying);
	receiver = dying.pid;
	struct child child = fork_child(asks_for_the_dead, NULL);
	child_hear(&child);
	child_tell(&dying, 1);
	pid_t clone = (pid_t)child_hear(&dying);
	child_join(&dying);
	child_tell(&child, 1);
	child_join(&child);
	CHECK(kill(clone, SIGKILL) == 0);
}
