/* Guests: users, groups, or anyone, whom a receiver lets in beside root and its own user. */
#include "guest.h"

#include <grp.h>

static gid_t group; /* invited by its number, where somebody is */

static void become_member(uid_t uid, gid_t effective, gid_t supplementary)
{
	CHECK(setgroups(1, &supplementary) == 0 && setresgid(effective, effective, effective) == 0);
	CHECK(setresuid(uid, uid, uid) == 0);
}

TEST_NEEDS(a_user_by_number, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(sends_as_guest, &guest);
		sendfd_info info;
		take_number(recv_soon(inbox, &info), 7);
		CHECK_EQ(info.uid, guest);
		CHECK_EQ(info.pid, child.pid);
		expect_number(inbox, 8);
		child_join(&child);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void is_turned_away(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_ERR(send_number(7, 10000), EPERM);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_ERR(sendfd_outbox_open(receiver, S, &limit, &outbox), EPERM);
	CHECK_ERR(sendfd_outbox_open_address(address, &limit, &outbox), EPERM);
	parent_tell(1);
}

TEST_NEEDS(another_user_is_turned_away, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		uid_t other = guest + 1;
		struct child child = fork_child(is_turned_away, &other);
		look_while(inbox, &child);
		child_join(&child);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void member_sends(void *arg)
{
	gid_t *groups = arg;
	become_member(lonely_uid(), groups[0], groups[1]);
	CHECK_OK(send_number(7, 10000));
}

static void member_is_turned_away(void *arg)
{
	gid_t *groups = arg;
	become_member(lonely_uid(), groups[0], groups[1]);
	CHECK_ERR(send_number(7, 10000), EPERM);
	parent_tell(1);
}

TEST_NEEDS(a_group_by_number, ROOT)
{
	group = lonely_uid();
	sendfd_inbox *inbox = open_to(NULL, 0, (gid_t[]){group, 3}, 2, 0);
	gid_t members[][2] = {{group, 77}, {77, group}}, others[] = {77, 78};
	for (size_t i = 0; i < 2; i++) {
		struct child child = fork_child(member_sends, members[i]);
		expect_number(inbox, 7);
		child_join(&child);
	}
	struct child child = fork_child(member_is_turned_away, others);
	look_while(inbox, &child);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void member_of_hundreds(void *arg)
{
	gid_t groups[300];
	(void)arg;
	for (gid_t i = 0; i < 300; i++)
		groups[i] = 5000 + i;
	groups[299] = group;
	CHECK(setgroups(300, groups) == 0 && setresgid(77, 77, 77) == 0);
	uid_t uid = lonely_uid();
	CHECK(setresuid(uid, uid, uid) == 0);
	CHECK_OK(send_number(7, 10000));
}

TEST_NEEDS(one_group_of_hundreds, ROOT)
{
	group = lonely_uid();
	sendfd_inbox *inbox = open_to(NULL, 0, &group, 1, 0);
	struct child child = fork_child(member_of_hundreds, NULL);
	expect_number(inbox, 7);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(anyone, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_inbox(S, KINDS[kind] | SENDFD_INBOX_ANYONE);
		receiver = getpid();
		guest = lonely_uid();
		struct child child = fork_child(sends_as_guest, &guest);
		expect_number(inbox, 7);
		expect_number(inbox, 8);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

/* --- permission that is taken away -------------------------------------------------------------- */
static void sends_until_it_may_not(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(8, 10000), EPERM);
}

TEST_NEEDS(opened_anew_without_the_guest, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_until_it_may_not, &guest);
	expect_number(inbox, 7);
	child_hear(&child);
	sendfd_inbox_close(inbox);
	inbox = open_inbox(S, 0);
	child_tell(&child, 1);
	child_join(&child);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}
