/* Connections that wait are accepted each when its turn comes: what a sender sent over an earlier link, and is
 * announced in between, comes before what it sent over a later one. */
#include "named.h"

enum { BY_ANOTHER = 1, EARLIER, LATER };

static void send_over(int link, uint32_t number)
{
	struct {
		struct wire wire;
		uint32_t number;
	} message = {WIRE(1, 4), number};
	CHECK_EQ(raw_send(link, &message, sizeof message, (int[]){2}, 1), 0);
}

static int connect_and_send(uint32_t number)
{
	int link = raw_connect(name);
	CHECK(link >= 0, "%s", errno_name(-link));
	send_over(link, number);
	return link;
}

static void sends_over_two_links(void *arg)
{
	(void)arg;
	int link = connect_and_send(0);
	parent_tell(0);
	parent_hear(); /* it is accepted */
	connect_and_send(BY_ANOTHER);
	send_over(link, EARLIER);
	connect_and_send(LATER);
	parent_tell(0);
	parent_hear();
}

static uint32_t next(sendfd_inbox *inbox)
{
	struct timespec limit = in_ms(10000);
	uint32_t number;
	int fd;
	CHECK_EQ(sendfd_recvs(inbox, &fd, 1, &number, sizeof number, NULL, &limit), 1);
	close(fd);
	return number;
}

static void in_order(unsigned flags)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child sender = fork_child(sends_over_two_links, NULL);
	child_hear(&sender);
	CHECK_EQ(next(inbox), 0);
	child_tell(&sender, 0);
	child_hear(&sender);
	uint32_t place[LATER + 1] = {0};
	for (uint32_t i = 1; i <= LATER; i++)
		place[next(inbox)] = i;
	CHECK(place[EARLIER] && place[EARLIER] < place[LATER], "%u, then %u", place[LATER], place[EARLIER]);
	if (!(flags & SENDFD_INBOX_NOSIGNAL))
		CHECK(place[BY_ANOTHER] < place[EARLIER], "signals keep the order of arrival");
	expect_empty(inbox);
	child_tell(&sender, 0);
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

TEST(a_link_between_two_connections) { in_order(0); }
TEST(a_link_between_two_connections_quiet) { in_order(SENDFD_INBOX_NOSIGNAL); }
