/* How much there can be of each thing, and what is left for others when one takes it all. */
#include "named.h"

#define LINKS 10000
#define AT_ONCE 200 /* that wait to be accepted */

/* --- a mailbox ------------------------------------------------------------------------------------ */
TEST(depth_of_a_mailbox)
{
	long room = 0;
	FILE *file = fopen("/proc/sys/net/core/wmem_default", "re");
	CHECK(file && fscanf(file, "%ld", &room) == 1);
	fclose(file);
	if (room != 212992)
		SKIP("wmem_default is %ld, not 212992", room);
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	int sent;
	fill_mailbox(target, S, &sent);
	CHECK_EQ(sent, 278);
	for (int i = 0; i < sent; i++)
		close(recv_soon(inbox, NULL));
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* --- links ---------------------------------------------------------------------------------------- */
static void connects(void *arg)
{
	static int links[LINKS];
	(void)arg;
	struct {
		struct wire wire;
		uint32_t number;
	} message = {WIRE(1, 4), 0};
	for (uint32_t i = 0; i < LINKS; i++) {
		links[i] = raw_connect(name);
		CHECK(links[i] >= 0, "%u: %s", i, errno_name(-links[i]));
		message.number = i;
		CHECK_EQ(raw_send(links[i], &message, sizeof message, (int[]){2}, 1), 0);
		if ((i + 1) % AT_ONCE == 0) {
			parent_tell(0);
			parent_hear(); /* they are accepted */
		}
	}
	for (uint32_t i = 0; i < AT_ONCE; i++) /* the first ones are still heard */
		CHECK_EQ(raw_send(links[i], &message, sizeof message, (int[]){2}, 1), 0);
	parent_tell(0);
	parent_hear();
}

static void ten_thousand(unsigned flags)
{
	static bool seen[LINKS];
	set_limit(RLIMIT_NOFILE, LINKS + 100);
	need_backlog(AT_ONCE + 1, flags);
	memset(seen, 0, sizeof seen);
	sendfd_inbox *inbox = open_named(flags);
	struct child crowd = fork_child(connects, NULL);
	struct timespec limit = in_ms(10000);
	uint32_t number;
	int fd;
	for (int i = 0; i < LINKS; i++) {
		if (i % AT_ONCE == 0)
			child_hear(&crowd);
		CHECK_EQ(sendfd_recvs(inbox, &fd, 1, &number, sizeof number, NULL, &limit), 1);
		close(fd);
		CHECK(number < LINKS && !seen[number], "%u", number);
		seen[number] = true;
		if ((i + 1) % AT_ONCE == 0)
			child_tell(&crowd, 0);
	}
	child_hear(&crowd);
	for (int i = 0; i < AT_ONCE; i++) {
		CHECK_EQ(sendfd_recvs(inbox, &fd, 1, &number, sizeof number, NULL, &limit), 1);
		CHECK_EQ(number, LINKS - 1);
		close(fd);
	}
	expect_empty(inbox);
	child_tell(&crowd, 0);
	child_join(&crowd);
	sendfd_inbox_close(inbox);
}

TEST_LIMIT(ten_thousand_links, 60) { ten_thousand(0); }
TEST_LIMIT(ten_thousand_links_quiet, 60) { ten_thousand(SENDFD_INBOX_NOSIGNAL); }

/* --- a receiver that never takes anything ---------------------------------------------------------- */
static uid_t user;

static void stuck(void *arg)
{
	(void)arg;
	become(user);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
}

static void fills(void *arg)
{
	(void)arg;
	become(user);
	int fds[200], result;
	for (int i = 0; i < 200; i++)
		fds[i] = 2;
	while ((result = sendfds(target, S, fds, 200, NULL, 0, &NOW)) == 0)
		;
	CHECK(result == -ETOOMANYREFS, "%s", errno_name(-result));
}

static void sends_to(void *arg)
{
	become(user);
	int fd = make_memfd(4), result = sendfd(*(pid_t *)arg, S, fd);
	close(fd);
	parent_tell(result);
}

static int one_send(pid_t to)
{
	struct child sender = fork_child(sends_to, &to);
	int result = (int)child_hear(&sender);
	child_join(&sender);
	return result;
}

/* All that it holds counts against the user who sent it, with every process of that user; others go on.
 * Its end, or its inbox's, gives all back. */
TEST_NEEDS(a_stuck_receiver_stops_its_senders_user_alone, ROOT)
{
	uid_t first = lonely_uid(), second = first + 1000000;
	set_limit(RLIMIT_NOFILE, 512);
	user = first;
	struct child one = fork_child(stuck, NULL), two = fork_child(stuck, NULL);
	child_hear(&one);
	child_hear(&two);
	user = second;
	struct child other = fork_child(stuck, NULL);
	child_hear(&other);

	user = first;
	target = one.pid;
	struct child sender = fork_child(fills, NULL);
	child_join(&sender);
	CHECK_EQ(one_send(two.pid), -ETOOMANYREFS);
	user = second;
	CHECK_EQ(one_send(other.pid), 0);
	user = 0;
	CHECK_EQ(one_send(two.pid), 0); /* root is exempt */

	child_tell(&one, 0);
	child_join(&one);
	user = first;
	CHECK_EQ(one_send(two.pid), 0);
	child_tell(&two, 0);
	child_join(&two);
	child_tell(&other, 0);
	child_join(&other);
}
