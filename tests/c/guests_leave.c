/* Guests that leave: whose places are free for whom. */
#include "harness.h"

#define OF_ONE 16

static char guest_name[SENDFD_ADDRESS_MAX + 8];

static sendfd_inbox *open_to_anyone(unsigned flags)
{
	char name[SENDFD_ADDRESS_MAX];
	sendfd_inbox_options options = {.size = sizeof options, .directory = ""};
	options.flags = flags | SENDFD_INBOX_ANYONE;
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, name, sizeof name));
	snprintf(guest_name, sizeof guest_name, "%s/guests", name);
	return inbox;
}

static int connect_as(uid_t uid)
{
	CHECK(seteuid(uid) == 0);
	int link = raw_connect(guest_name);
	CHECK(link >= 0, "%s", errno_name(-link));
	CHECK(seteuid(0) == 0);
	return link;
}

/* Of so many links, after the receiver has looked. */
static int count_welcome(const int *links, int count)
{
	int welcome = 0;
	for (int i = 0; i < count; i++) {
		char bytes[32];
		welcome += recv(links[i], bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT) == 16;
	}
	return welcome;
}

static void let_it_look(void)
{
	parent_tell(1);
	parent_hear();
}

static void look_when_told(unsigned flags, rlim_t limit, void (*guests)(void *))
{
	set_limit(RLIMIT_NOFILE, limit);
	sendfd_inbox *inbox = open_to_anyone(flags);
	struct child child = fork_child(guests, NULL);
	while (child_hear(&child)) {
		expect_empty(inbox);
		child_tell(&child, 1);
	}
	child_join(&child);
	sendfd_inbox_close(inbox);
}

/* Who has left is one less, and not all that the user has. */
static void leaves_one_place(void *arg)
{
	int links[2 * OF_ONE - 1];
	uid_t uid = lonely_uid();
	for (int i = 0; i < OF_ONE; i++)
		links[i] = connect_as(uid);
	let_it_look();
	CHECK_EQ(count_welcome(links, OF_ONE), OF_ONE);
	close(links[0]);
	let_it_look();
	for (int i = 0; i < OF_ONE; i++)
		links[i ? OF_ONE + i - 1 : 0] = connect_as(uid);
	let_it_look();
	CHECK_EQ(count_welcome(links, 2 * OF_ONE - 1), OF_ONE);
	parent_tell(0);
	(void)arg;
}

TEST_NEEDS(one_place_is_free, ROOT) { look_when_told(0, 1024, leaves_one_place); }
TEST_NEEDS(one_place_is_free_quiet, ROOT) { look_when_told(SENDFD_INBOX_NOSIGNAL, 1024, leaves_one_place); }

/* All places are taken; they are left after somebody else has come, for whom the receiver looks first. */
static void leave_theirs(void *arg)
{
	enum { OF_ALL = 128 / 4 };
	int links[OF_ALL];
	uid_t uid = lonely_uid();
	for (int i = 0; i < OF_ALL; i++)
		links[i] = connect_as(uid + (uid_t)(i / OF_ONE));
	let_it_look();
	CHECK_EQ(count_welcome(links, OF_ALL), OF_ALL);
	int other = connect_as(uid + OF_ALL);
	for (int i = 0; i < OF_ALL; i++)
		close(links[i]);
	let_it_look();
	CHECK_EQ(count_welcome(&other, 1), 1);
	parent_tell(0);
	(void)arg;
}

TEST_NEEDS(places_of_others_are_free, ROOT) { look_when_told(0, 128, leave_theirs); }
TEST_NEEDS(places_of_others_are_free_quiet, ROOT) { look_when_told(SENDFD_INBOX_NOSIGNAL, 128, leave_theirs); }
