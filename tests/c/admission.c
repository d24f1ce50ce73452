/* Who is let in where a uid does not say enough: the overflow uid, as which the kernel shows all users
 * that have no number in a user namespace. */
#include "harness.h"

#include <sched.h>
#include <sys/prctl.h>

static pid_t target;
static char name[64];
static uid_t user, other;
static unsigned flags;

/* --- a receiver in a child, told step by step ---------------------------------------------------------- */
static void (*enter)(void); /* what the receiver does before it opens */

static void receiver(void *arg)
{
	(void)arg;
	enter();
	sendfd_inbox *inbox = open_inbox(S, flags);
	parent_tell(0);
	for (long number; (number = parent_hear()) >= 0;) {
		if (number > 0)
			expect_number(inbox, number);
		int fds = count_fds(), lowest = lowest_free();
		expect_empty(inbox);
		CHECK(count_fds() <= fds && lowest_free() <= lowest, "a stranger's descriptor");
		parent_tell(0);
	}
	sendfd_inbox_close(inbox);
}

static struct child open_receiver(void)
{
	struct child child = fork_child(receiver, NULL);
	child_hear(&child);
	target = child.pid;
	inbox_name(target, S, name, sizeof name);
	return child;
}

static void receives(struct child *child, long number)
{
	child_tell(child, number);
	child_hear(child);
}

#define NOTHING 0

static void ends(struct child *child)
{
	child_tell(child, -1);
	child_join(child);
}

/* --- senders ------------------------------------------------------------------------------------------- */
struct sender {
	void (*enter)(void);
	int error;
};

static void sender(void *arg)
{
	const struct sender *this = arg;
	if (this->enter)
		this->enter();
	int fd = make_memfd(7), result = sendfd(target, S, fd);
	CHECK(result == -this->error, "%s, not %s", errno_name(-result), errno_name(this->error));
	parent_tell(0);
	parent_hear(); /* it is there when the receiver looks */
}

static void arrives_from(struct child *to, void (*enter_)(void))
{
	struct child from = fork_child(sender, &(struct sender){enter_, 0});
	child_hear(&from);
	receives(to, 7);
	child_tell(&from, 0);
	child_join(&from);
}

static void is_refused(struct child *to, void (*enter_)(void), int error)
{
	struct child from = fork_child(sender, &(struct sender){enter_, error});
	child_hear(&from);
	receives(to, NOTHING);
	child_tell(&from, 0);
	child_join(&from);
}

static void (*intruder_is)(void);

static void intruder(void *arg)
{
	int fd = *(int *)arg;
	struct wire wire = WIRE(1, 0);
	intruder_is();
	int link = raw_connect(name);
	CHECK(link >= 0, "%s", errno_name(-link));
	CHECK_EQ(raw_send(link, &wire, sizeof wire, &fd, 1), 0);
	close(fd);
	parent_tell(0);
	if (parent_hear() == 0)
		return; /* gone before the receiver looks */
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP), "is let in");
}

/* Whoever goes around the library; once there when the receiver looks, once gone and forgotten. */
static void keeps_out(struct child *to, void (*who)(void))
{
	intruder_is = who;
	for (long stays = 0; stays < 2; stays++) {
		struct witness w = make_witness();
		struct child from = fork_child(intruder, &w.sent);
		close(w.sent);
		child_hear(&from);
		child_tell(&from, stays);
		if (!stays)
			child_join(&from);
		receives(to, NOTHING);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
		if (stays) {
			child_tell(&from, 0);
			child_join(&from);
		}
	}
}

/* --- users and their namespaces ------------------------------------------------------------------------ */
static void plain(void)
{
	become(user);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* as a process that always had this user */
}
static void stranger(void) { become(other); }
static void root(void) {}

static void users_of_their_own(const char *map)
{
	CHECK(unshare(CLONE_NEWUSER) == 0);
	if (!map)
		return;
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map), "%s", map);
	close(fd);
}

static void without_map(void)
{
	plain();
	users_of_their_own(NULL);
	CHECK_EQ(getuid(), 65534);
}

static void as_nobody(void)
{
	char map[32];
	plain();
	snprintf(map, sizeof map, "65534 %u 1", user);
	users_of_their_own(map);
	CHECK_EQ(getuid(), 65534);
}

static void stranger_without_map(void)
{
	stranger();
	users_of_their_own(NULL);
	CHECK_EQ(getuid(), 65534);
}

static void set_users(void)
{
	user = lonely_uid();
	other = user + 1000000;
}

#define USERS ROOT | USER_NAMESPACE

static void overflow_uid(void (*enter_)(void))
{
	set_users();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		enter = enter_;
		struct child to = open_receiver();
		keeps_out(&to, stranger);
		keeps_out(&to, stranger_without_map);
		is_refused(&to, stranger, EPERM);
		is_refused(&to, stranger_without_map, EPERM);
		is_refused(&to, root, EPERM); /* it has no number there */
		ends(&to);
	}
}

/* Its own uid, and everybody's who has no number there, reads as 65534. */
TEST_NEEDS(the_overflow_uid_without_a_map, USERS) { overflow_uid(without_map); }
TEST_NEEDS(the_overflow_uid_mapped_as_nobody, USERS) { overflow_uid(as_nobody); }

/* The same user, outside and in a namespace like the receiver's: the kernel tells it from strangers. Where
 * it cannot be asked (before Linux 6.5), the sender is told that it would not be let in. */
static void own_user_reaches(void (*enter_)(void))
{
	bool can_ask = peers_can_be_asked_for();
	set_users();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		enter = enter_;
		struct child to = open_receiver();
		void (*const as[])(void) = {plain, without_map, as_nobody};
		for (int i = 0; i < 3; i++)
			if (can_ask)
				arrives_from(&to, as[i]);
			else
				is_refused(&to, as[i], EPERM);
		ends(&to);
	}
}

TEST_NEEDS(the_own_user_without_a_map, USERS) { own_user_reaches(without_map); }
TEST_NEEDS(the_own_user_mapped_as_nobody, USERS) { own_user_reaches(as_nobody); }

/* Outside all users have numbers: whoever has none in a namespace of its own is known there. */
TEST_NEEDS(from_the_overflow_uid_to_outside, USERS)
{
	set_users();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		enter = plain;
		struct child to = open_receiver();
		arrives_from(&to, without_map);
		arrives_from(&to, as_nobody);
		is_refused(&to, stranger_without_map, EPERM);
		ends(&to);
	}
}

/* One namespace for both: the whole of a container that runs as nobody. */
static void in_one_namespace(void *arg)
{
	static void (*const enters[])(void) = {without_map, as_nobody};
	enters[*(int *)arg]();
	enter = root;
	struct child to = open_receiver();
	arrives_from(&to, NULL);
	CHECK_OK(sendfd(target, S, STDERR_FILENO)); /* from its parent, too */
	child_kill(&to);
}

TEST_NEEDS(nobody_to_nobody_in_one_namespace, USERS | PEER_PIDFDS)
{
	set_users();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (int i = 0; i < 2; i++) {
			struct child child = fork_child(in_one_namespace, &i);
			child_join(&child);
		}
}

/* In the first namespace, and wherever all users have numbers, 65534 is a user like others. */
static void real_nobody(void) { become(65534); }

TEST_NEEDS(nobody_where_all_have_numbers, ROOT)
{
	set_users();
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		enter = real_nobody;
		struct child to = open_receiver();
		arrives_from(&to, real_nobody);
		arrives_from(&to, root);
		keeps_out(&to, stranger);
		ends(&to);
	}
}
