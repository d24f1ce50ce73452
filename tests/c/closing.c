/* An inbox that is closed while connections wait that nobody has accepted, and a descriptor can hardly be had. */
#include "harness.h"

#define SENDERS 3

static pid_t target;
static struct witness witnesses[SENDERS];

static void sends(void *arg)
{
	CHECK_OK(sendfd(target, S, *(int *)arg));
	parent_tell(0);
	parent_hear();
}

/* At a full table, whose sockets a clone holds as well; or where no number may be had at all. */
static void close_one(unsigned flags, bool table_is_full)
{
	struct child senders[SENDERS];
	target = getpid();
	set_limit(RLIMIT_NOFILE, 128); /* before it chooses numbers */
	sendfd_inbox *inbox = open_inbox(S, flags);
	for (int i = 0; i < SENDERS; i++)
		witnesses[i] = make_witness();
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = fork_child(sends, &witnesses[i].sent);
		child_hear(&senders[i]);
		child_tell(&senders[i], 0);
		child_join(&senders[i]);
	}
	for (int i = 0; i < SENDERS; i++)
		close(witnesses[i].sent);
	pid_t clone = table_is_full ? clone_that_stays() : -1;
	int hoard[128], hoarded = 0;
	if (table_is_full) {
		for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
			hoard[hoarded++] = fd;
		CHECK_EQ(errno, EMFILE);
	} else {
		set_limit(RLIMIT_NOFILE, 3);
	}
	sendfd_inbox_close(inbox);
	set_limit(RLIMIT_NOFILE, 128);
	while (hoarded > 0)
		close(hoard[--hoarded]);
	for (int i = 0; i < SENDERS; i++) {
		CHECK(witness_released(witnesses[i].end, 10000));
		close(witnesses[i].end);
	}
	if (table_is_full)
		CHECK(kill(clone, SIGKILL) == 0 && waitpid(clone, NULL, 0) == clone);
}

/* One after the other is accepted by the number that the inbox has kept for that. */
TEST(at_a_full_table) { close_one(0, true); }
TEST(at_a_full_table_quiet) { close_one(SENDFD_INBOX_NOSIGNAL, true); }

TEST(where_nothing_may_be_opened) { close_one(0, false); }
TEST(where_nothing_may_be_opened_quiet) { close_one(SENDFD_INBOX_NOSIGNAL, false); }
