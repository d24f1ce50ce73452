/* A call that does not wait does not, also over a connection that was made by one that does: its socket
 * blocks. */
#include "harness.h"

#define AT_ONCE 50

static pid_t target;

static void fills(void *arg)
{
	const struct timespec *first = arg, zero = NOW, limit = in_ms(200);
	int fd = make_memfd(1), result, sent = 1;
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, first));
	while ((result = sendfd(target, S, fd)) == 0)
		sent++;
	CHECK_EQ(result, -EAGAIN);
	/* The machine may be slow for once. */
	long took = AT_ONCE;
	for (int i = 0; i < 5 && took >= AT_ONCE; i++) {
		long start = now_ms();
		CHECK_ERR(sendfd(target, S, fd), EAGAIN);
		CHECK_ERR(sendfds(target, S, &fd, 1, NULL, 0, &zero), EAGAIN);
		took = now_ms() - start;
	}
	CHECK(took < AT_ONCE, "%ld ms", took);
	CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), 200);
	parent_tell(sent);
}

static void after_a_first_contact(const struct timespec *timeout)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	struct child sender = fork_child(fills, (void *)timeout);
	long sent = child_hear(&sender);
	child_join(&sender);
	for (long i = 0; i < sent; i++)
		expect_number(inbox, 1);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(after_a_first_contact_with_a_timeout)
{
	struct timespec long_enough = in_ms(10000);
	after_a_first_contact(&long_enough);
}

TEST(after_a_first_contact_that_waits_for_ever) { after_a_first_contact(NULL); }
