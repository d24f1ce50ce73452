/* Deadlines, whatever comes: floods of connections, of lies, of descriptors, of ends. */
#include "named.h"

#include <sched.h>

/* What is measured is this process, not how busy the machine is. Where that is not permitted, the tries of
 * each measurement have to do. Children are as others are. */
static void come_first(bool first)
{
	struct sched_param priority = {.sched_priority = first ? 1 : 0};
	if (sched_setscheduler(0, first ? SCHED_FIFO : SCHED_OTHER, &priority) != 0)
		CHECK(errno == EPERM);
}

static void lies_for_ever(void *arg)
{
	static int fds[253];
	struct wire wire = {{'x'}, 0, 0, 0, 0};
	const int *nfds = arg;
	come_first(false);
	set_limit(RLIMIT_NOFILE, 1024);
	for (int i = 0; i < 253; i++)
		fds[i] = 2;
	for (long n = 0;; n++) {
		int link = raw_connect(name);
		if (link >= 0) {
			raw_send(link, &wire, sizeof wire, fds, (size_t)*nfds);
			close(link);
		}
		if (n == 1000)
			parent_tell(0);
	}
}

static void sends_behind_the_flood(void *arg)
{
	(void)arg;
	struct timespec limit = in_ms(15000);
	come_first(false);
	for (int i = 0; i < 20; i++) {
		int fd = make_memfd(i);
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, &limit));
		close(fd);
	}
}

static void forges_signals(void *arg)
{
	(void)arg;
	come_first(false);
	parent_tell(0);
	for (;;)
		kill(target, S);
}

static void keeps_deadlines(unsigned flags, void (*floods)(void *), int nfds)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child flood = fork_child(floods, &nfds);
	child_hear(&flood);
	come_first(true);
	for (int i = 0; i < 5; i++) {
		struct timespec limit = in_ms(100);
		CHECK_TIMES_OUT(sendfd_recv(inbox, NULL, &limit), 100);
		long took = 0, most = 50 * (long)slower();
		for (int try = 0; try == 0 || (try < 5 && took > most); try++) {
			long start = now_ms();
			CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
			took = now_ms() - start;
		}
		CHECK(took <= most, "a call that does not wait took %ld ms", took);
	}
	struct child sender = fork_child(sends_behind_the_flood, NULL);
	for (int i = 0; i < 20; i++)
		expect_number(inbox, i);
	child_join(&sender);
	child_kill(&flood);
	sendfd_inbox_close(inbox);
}

#define QUIET SENDFD_INBOX_NOSIGNAL
TEST_LIMIT(under_a_flood_of_connections, 60) { keeps_deadlines(0, lies_for_ever, 1); }
TEST_LIMIT(under_a_flood_of_connections_quiet, 60) { keeps_deadlines(QUIET, lies_for_ever, 1); }
TEST_LIMIT(under_a_flood_of_descriptors, 60) { keeps_deadlines(0, lies_for_ever, 253); }
TEST_LIMIT(under_a_flood_of_descriptors_quiet, 60) { keeps_deadlines(QUIET, lies_for_ever, 253); }
TEST_LIMIT(under_a_flood_of_signals, 60) { keeps_deadlines(0, forges_signals, 0); }

/* A crowd that has gone: all is over within the deadline, or left to the next call. */
static void many_come_and_go(void *arg)
{
	static int links[2500];
	int most = *(int *)arg;
	come_first(false);
	set_limit(RLIMIT_NOFILE, 4000);
	for (int i = 0; i < most; i++) {
		while ((links[i] = raw_connect(name)) == -EAGAIN)
			sched_yield();
		CHECK(links[i] >= 0, "%s", errno_name(-links[i]));
	}
	parent_tell(0);
	parent_hear();
}

static void many_leave_at_once(unsigned flags)
{
	int most = 2500;
	set_limit(RLIMIT_NOFILE, 4000);
	sendfd_inbox *inbox = open_named(flags);
	int before = count_fds();
	come_first(true);
	struct child crowd = fork_child(many_come_and_go, &most);
	/* Asleep between: the crowd may have no other processor than this one. */
	struct pollfd waits[] = {{sendfd_inbox_fileno(inbox), POLLIN, 0}, {crowd.from, POLLIN, 0}};
	while (poll(waits, 2, -1) >= 0 && !waits[1].revents)
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	child_hear(&crowd);
	child_tell(&crowd, 0);
	child_join(&crowd);
	long longest = 0;
	while (count_fds() > before || readable(sendfd_inbox_fileno(inbox))) {
		long start = now_ms();
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		longest = now_ms() - start > longest ? now_ms() - start : longest;
	}
	CHECK(longest <= 50 * (long)slower(), "%ld ms", longest);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST_LIMIT(a_crowd_that_leaves_at_once, 60) { many_leave_at_once(0); }
TEST_LIMIT(a_crowd_that_leaves_at_once_quiet, 60) { many_leave_at_once(QUIET); }
