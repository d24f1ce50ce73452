/* A full table lets in one link more; where there was room since, it does so again. */
#include "harness.h"

enum { MOST = 128, SENDERS = 3 };
static pid_t target;
static int hoard[MOST], hoarded;

static void sends_when_told(void *arg)
{
	(void)arg;
	parent_hear();
	CHECK_OK(sendfds(target, S, NULL, 0, "x", 1, &NOW));
	parent_tell(0);
	parent_hear();
}

static void take_from(struct child *sender, sendfd_inbox *inbox)
{
	char byte;
	sendfd_info info;
	child_tell(sender, 0);
	child_hear(sender);
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &byte, 1, &info, &NOW), 0);
	CHECK_EQ(info.pid, sender->pid);
}

static void fill_the_table(void)
{
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	CHECK_EQ(errno, EMFILE);
}

TEST(it_is_there_again)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child senders[SENDERS];
		target = getpid();
		for (int i = 0; i < SENDERS; i++)
			senders[i] = fork_child(sends_when_told, NULL);
		set_limit(RLIMIT_NOFILE, MOST);
		sendfd_inbox *inbox = open_inbox(S, flags);
		fill_the_table();
		take_from(&senders[0], inbox);
		while (hoarded)
			close(hoard[--hoarded]);
		take_from(&senders[1], inbox);
		fill_the_table();
		take_from(&senders[2], inbox);
		while (hoarded)
			close(hoard[--hoarded]);
		for (int i = 0; i < SENDERS; i++) {
			child_tell(&senders[i], 0);
			child_join(&senders[i]);
		}
		sendfd_inbox_close(inbox);
	}
}
