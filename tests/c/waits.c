/* Senders that wait without an end: whom they wait for has to live. */
#include "harness.h"

#include <sched.h>

static pid_t target;
static char name[64];
static int listener = -1; /* of a squatter */

static void waits_for_ever(void *arg)
{
	int fd = make_memfd(1);
	if (listener >= 0)
		close(listener); /* the squatter alone holds it */
	parent_tell(0);
	parent_tell(-sendfds(target, S, &fd, 1, NULL, 0, arg));
}

static struct child waiting_sender(void)
{
	struct child child = fork_child(waits_for_ever, NULL);
	child_hear(&child);
	while (state_of(child.pid) != 'S')
		sched_yield();
	return child;
}

/* What it waits for has ended: it is told within 200 ms, and no later than 50 after that on a busy machine. */
static void ends_with(struct child *sender, int one, int other)
{
	long start = now_ms(), error = child_hear(sender);
	CHECK(now_ms() - start <= 250 * (long)slower(), "%ld ms", now_ms() - start);
	CHECK(error == one || error == other, "%s", errno_name((int)error));
	child_join(sender);
}

/* --- someone else sits on the name, and its queue of connections is full -------------------------------- */
static void has_no_inbox(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
	parent_tell(0);
	parent_hear();
}

static struct child squatted(int links[])
{
	struct child child = fork_child(has_no_inbox, NULL);
	child_hear(&child);
	target = child.pid;
	inbox_name(target, S, name, sizeof name);
	child_tell(&child, 0);
	child_hear(&child);
	listener = raw_listen(name);
	CHECK(listen(listener, 0) == 0);
	links[0] = raw_connect(name);
	CHECK(links[0] >= 0);
	CHECK_EQ(raw_connect(name), -EAGAIN);
	return child;
}

TEST(nobody_waits_for_the_dead_at_a_squatter)
{
	int links[1];
	struct child child = squatted(links), sender = waiting_sender();
	child_kill(&child);
	ends_with(&sender, ESRCH, ESRCH);
	close(listener);
	close(links[0]);
}

/* A deadline that is far away is no reason to wait for the dead either. */
TEST(a_deadline_is_not_waited_for_at_a_squatter)
{
	int links[1];
	struct timespec hour = {3600, 0};
	struct child child = squatted(links), sender = fork_child(waits_for_ever, &hour);
	child_hear(&sender);
	while (state_of(sender.pid) != 'S')
		sched_yield();
	child_kill(&child);
	ends_with(&sender, ESRCH, ESRCH);
	close(listener);
	close(links[0]);
}

/* While the process lives it may open its inbox yet: the wait goes on, and ends in time. */
static void waits_a_moment(void *arg)
{
	int fd = make_memfd(1);
	(void)arg;
	struct timespec limit = in_ms(450);
	CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), 450);
	close(fd);
}

TEST(a_deadline_is_kept_at_a_squatter)
{
	int links[1];
	struct child child = squatted(links), sender = fork_child(waits_a_moment, NULL);
	child_join(&sender);
	child_tell(&child, 0);
	child_join(&child);
	close(listener);
	close(links[0]);
}

/* And when the squatter goes, whoever waits is told that there is no inbox. */
TEST(a_squatter_that_goes)
{
	int links[1];
	struct child child = squatted(links), sender = waiting_sender();
	close(listener);
	ends_with(&sender, ECONNREFUSED, ECONNREFUSED);
	child_tell(&child, 0);
	child_join(&child);
	close(links[0]);
}

/* --- a full queue of a receiver that dies, while a raw clone of it holds its sockets ---------------------- */
static void opens_and_clones(void *arg)
{
	char byte;
	int *gate = arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	(void)inbox;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	CHECK(pid >= 0);
	if (pid == 0) {
		close(gate[1]);
		syscall(SYS_read, gate[0], &byte, 1); /* nothing of the library runs here */
		syscall(SYS_exit_group, 0);
	}
	parent_tell(0);
	parent_hear();
}

static void fills_and_waits(void *arg)
{
	int sent;
	fill_mailbox(target, S, &sent);
	waits_for_ever(arg);
}

TEST(nobody_waits_for_the_dead_at_a_full_mailbox)
{
	int gate[2];
	CHECK(pipe2(gate, O_CLOEXEC) == 0);
	struct child child = fork_child(opens_and_clones, gate);
	child_hear(&child);
	target = child.pid;
	struct child sender = fork_child(fills_and_waits, NULL);
	child_hear(&sender);
	while (state_of(sender.pid) != 'S')
		sched_yield();
	child_kill(&child);
	ends_with(&sender, ESRCH, ECONNREFUSED);
	close(gate[0]);
	close(gate[1]);
}
