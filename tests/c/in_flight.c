/* Sockets that wait in sockets: what the kernel's own housekeeping does to senders. */
#include "harness.h"

/* A socket that waits in another one, which waits in the next, and so on: `levels` of them. The last is
 * returned; the rest hang on it. Fewer, where the kernel wants no more; then its error. */
static int nest(int levels, int *ret_error)
{
	int inner = 2;
	*ret_error = 0;
	for (int i = 0; i <= levels; i++) {
		int pair[2];
		CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		*ret_error = raw_send(pair[0], "x", 1, &inner, 1);
		if (inner > 2)
			close(inner);
		close(pair[0]);
		if (*ret_error) {
			close(pair[1]);
			return -1;
		}
		inner = pair[1];
	}
	return inner;
}

/* KERNEL(6.10): before, ETOOMANYREFS for more than four; whatever the kernel says of it to others, a sender is told,
 * and nothing comes of it. */
static void sockets_in_sockets(unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	for (int levels = 0; levels < 12; levels++) {
		int error, next, nested = nest(levels, &error);
		if (nested < 0)
			break;
		/* Around the library: would one level more be let through? */
		next = nest(levels + 1, &error);
		if (next >= 0)
			close(next);
		int result = sendfds(getpid(), S, &nested, 1, NULL, 0, &NOW);
		CHECK(result == error, "%d levels: %s, not %s", levels, errno_name(-result), errno_name(-error));
		if (result == 0)
			close(recv_soon(inbox, NULL));
		expect_empty(inbox);
		close(nested);
	}
	send_memfd(getpid(), 7);
	expect_number(inbox, 7);
	sendfd_inbox_close(inbox);
}

TEST(sockets_in_sockets_are_told_as_the_kernel_does) { sockets_in_sockets(0); }
TEST(sockets_in_sockets_are_told_as_the_kernel_does_quiet) { sockets_in_sockets(SENDFD_INBOX_NOSIGNAL); }

#define MANY 17000 /* more than the kernel calls sane */
#define EACH 250

/* Holds as many sockets in flight, in sockets that nobody reads. */
static void holds_many(void *arg)
{
	(void)arg;
	int fds[EACH], pair[2];
	for (int i = 0; i < EACH; i++)
		CHECK((fds[i] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0);
	for (int sent = 0; sent < MANY; sent += EACH) {
		if (sent % (100 * EACH) == 0)
			CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		int error = raw_send(pair[0], "x", 1, fds, EACH);
		if (error == -ETOOMANYREFS)
			SKIP("may not have %d descriptors in flight", MANY);
		CHECK_EQ(error, 0);
	}
	parent_tell(0);
	parent_hear();
}

/* KERNEL(6.8): before, whoever sends descriptors then waits until the kernel has looked for cycles, be it that it
 * must not wait. That has its end. */
TEST_LIMIT(many_sockets_in_flight_hold_up_nobody_for_long, 60)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	struct child holder = fork_child(holds_many, NULL);
	child_hear(&holder);
	long longest = 0;
	for (int i = 0; i < 100; i++) {
		int fd = i % 2 ? make_memfd(i) : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		long start = now_ms();
		CHECK_OK(sendfds(getpid(), S, &fd, 1, NULL, 0, &NOW));
		long took = now_ms() - start;
		longest = took > longest ? took : longest;
		close(fd);
		close(recv_soon(inbox, NULL));
	}
	if (getenv("SENDFD_TEST_VERBOSE"))
		fprintf(stderr, "the longest send took %ld ms\n", longest);
	CHECK(longest < 2000 * (long)slower(), "%ld ms", longest);
	child_tell(&holder, 0);
	child_join(&holder);
	sendfd_inbox_close(inbox);
}
