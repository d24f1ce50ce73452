/* What can be done when others have taken all there is: descriptors in flight, connections, the queue of
 * connections. */
#include "named.h"

#include <sched.h>

/* --- descriptors in flight ------------------------------------------------------------------------ */
static void raises_its_limit(void *arg)
{
	int fds[40], pair[2], result;
	become(*(uid_t *)arg);
	for (int i = 0; i < 40; i++)
		fds[i] = 2;
	set_limit(RLIMIT_NOFILE, 64);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	for (int i = 0; (result = raw_send(pair[0], "x", 1, fds, 40)) == 0; i++)
		CHECK(i < 100);
	CHECK(result == -ETOOMANYREFS, "%s", errno_name(-result));
	CHECK_ERR(sendfds(target, S, fds, 40, NULL, 0, &NOW), ETOOMANYREFS);
	set_limit(RLIMIT_NOFILE, 256);
	CHECK_OK(sendfds(target, S, fds, 40, NULL, 0, &NOW));
}

static void takes_nothing(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
}

/* All sockets of the user count. The limit is the sending process's, as it is at the moment. */
TEST_NEEDS(a_higher_limit_lets_a_sender_go_on, ROOT)
{
	uid_t user = lonely_uid();
	struct child receiver = fork_child(takes_nothing, &user);
	child_hear(&receiver);
	target = receiver.pid;
	struct child sender = fork_child(raises_its_limit, &user);
	child_join(&sender);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

/* --- a table full of connections -------------------------------------------------------------------- */
#define CONNECTIONS 200

static void connects(void *arg)
{
	(void)arg;
	set_limit(RLIMIT_NOFILE, CONNECTIONS + 100);
	for (int i = 0; i < CONNECTIONS; i++)
		CHECK(raw_connect(name) >= 0);
	parent_tell(0);
	parent_hear();
}

static void sends_two(void *arg)
{
	(void)arg;
	for (long n = 1; n < 3; n++) {
		send_memfd(target, n);
		parent_tell(0);
		parent_hear();
	}
}

static int takes(sendfd_inbox *inbox, const struct timespec *limit, int *ret_parcels, int *ret_sum)
{
	int fd = sendfd_recv(inbox, NULL, limit);
	if (fd >= 0) {
		*ret_parcels += 1;
		*ret_sum += (int)memfd_number(fd);
		close(fd);
	}
	return fd;
}

/* A peer of the same user can fill the table; mail waits meanwhile, and is there when the peer goes. */
TEST(a_table_full_of_connections_keeps_mail)
{
	need_backlog(CONNECTIONS + 2, 0);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		set_limit(RLIMIT_NOFILE, 100);
		sendfd_inbox *inbox = open_named(flags);
		struct child known = fork_child(sends_two, NULL);
		child_hear(&known);
		expect_number(inbox, 1);
		struct child peer = fork_child(connects, NULL);
		child_hear(&peer);
		child_tell(&known, 0);
		child_hear(&known);
		struct child late = fork_child(sends_two, NULL);
		child_hear(&late);
		int parcels = 0, sum = 0, refused = 0;
		for (int i = 0; i < 20; i++)
			refused += takes(inbox, &NOW, &parcels, &sum) == -EMFILE;
		CHECK(refused > 10 && parcels < 2, "%d times EMFILE", refused);
		child_kill(&peer);
		/* the one who sent before, and the one who came while there was no room */
		struct timespec limit = in_ms(10000);
		while (parcels < 2)
			CHECK(takes(inbox, &limit, &parcels, &sum) != -ETIMEDOUT);
		CHECK_EQ(sum, 2 + 1);
		child_kill(&known);
		child_kill(&late);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- the queue of those that wait to be accepted ---------------------------------------------------- */
static void fills_the_queue(void *arg)
{
	(void)arg;
	become(lonely_uid());
	int link, count = 0;
	while ((link = raw_connect(name)) >= 0)
		CHECK(++count < 10);
	CHECK_EQ(link, -EAGAIN);
	parent_tell(0);
	parent_hear();
}

static void sends_with_patience(void *arg)
{
	(void)arg;
	int fd = make_memfd(3);
	CHECK_ERR(sendfd(target, S, fd), EAGAIN);
	parent_tell(0);
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, &limit));
	close(fd);
}

/* Any user can fill it. Kept connections are not concerned; others wait until the receiver looks. */
TEST_NEEDS(a_queue_full_of_strangers, ROOT | NET_NAMESPACE)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	int fd = open("/proc/sys/net/core/somaxconn", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "2", 1) == 1);
	close(fd);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct child known = fork_child(sends_two, NULL);
		child_hear(&known);
		expect_number(inbox, 1);
		struct child strangers = fork_child(fills_the_queue, NULL);
		child_hear(&strangers);
		child_tell(&known, 0);
		child_hear(&known); /* has sent its second */
		struct child late = fork_child(sends_with_patience, NULL);
		child_hear(&late);
		int sum = (int)memfd_number(fd = recv_soon(inbox, NULL));
		close(fd);
		sum += (int)memfd_number(fd = recv_soon(inbox, NULL));
		close(fd);
		CHECK_EQ(sum, 2 + 3);
		child_join(&late);
		child_kill(&known);
		child_kill(&strangers);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- signals of connections -------------------------------------------------------------------------- */
/* Connects, and is gone, until it can no more. The receiver looks at its sockets before each, for a signal that
 * was made up, and dequeues none. */
static int connects_until_refused(sendfd_inbox *inbox)
{
	siginfo_t made_up = {.si_signo = S, .si_code = SI_USER};
	for (int count = 0; count < 500; count++) {
		CHECK_ERR(sendfd_claim(inbox, &made_up, NULL), EAGAIN);
		int link = raw_connect(name);
		if (link < 0) {
			CHECK_EQ(link, -EAGAIN);
			return count;
		}
		close(link);
	}
	return 500;
}

/* Each connection queues a signal. So that strangers cannot fill the user's signal queue with them, no more
 * connections are accepted ahead of their signals than may wait, and as many may wait. */
TEST_NEEDS(connections_are_not_accepted_far_ahead_of_their_signals, ROOT)
{
	enum { BACKLOG = 16 };
	become(lonely_uid());
	set_limit(RLIMIT_SIGPENDING, 64 * BACKLOG);
	sendfd_inbox *inbox = open_inbox(S, 0);
	sigset_t set = set_of(S, SIGIO, 0);
	siginfo_t si;
	inbox_name(getpid(), S, name, sizeof name);
	int count = connects_until_refused(inbox);
	CHECK(count > BACKLOG && count <= 2 * (BACKLOG + 2), "%d", count);
	/* All signals but one are dequeued: there is room again. */
	int signals = 0;
	while (signals < count - 1) {
		CHECK_EQ(sigtimedwait(&set, &si, &NOW), S);
		CHECK_ERR(sendfd_claim(inbox, &si, NULL), EAGAIN);
		signals += si.si_code > 0; /* and not the library's own */
	}
	CHECK(pending(S));
	int again = connects_until_refused(inbox);
	CHECK(again > BACKLOG + 5 && again <= 2 * (BACKLOG + 2), "%d", again);
	/* And where the program has dropped them, too. */
	while (sigtimedwait(&set, &si, &NOW) > 0)
		;
	again = connects_until_refused(inbox);
	CHECK(again > BACKLOG && again <= 3 * (BACKLOG + 2), "%d", again);
	sendfd_inbox_close(inbox);
}
