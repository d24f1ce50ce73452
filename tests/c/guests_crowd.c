/* Guests and strangers in numbers, and what they cannot do to a receiver and its own user's mail. */
#include "harness.h"

#define OF_ONE 16
#define OF_ALL 1024

static char own_name[108], guest_name[SENDFD_ADDRESS_MAX + 8];
static pid_t receiver;
static uid_t guest;

static sendfd_inbox *open_to_guests(unsigned flags, const uid_t *uid)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .directory = ""};
	options.uids = uid, options.nuids = uid != NULL;
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, own_name, sizeof own_name));
	snprintf(guest_name, sizeof guest_name, "%.*s/guests", SENDFD_ADDRESS_MAX, own_name);
	receiver = getpid();
	return inbox;
}

static int connects(void)
{
	int link = raw_connect(guest_name);
	CHECK(link >= 0, "%s", errno_name(-link));
	return link;
}

/* Whether the receiver, which has looked, has let in whoever has this connection. */
static bool is_welcome(int link)
{
	char bytes[32];
	ssize_t n = recv(link, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
	CHECK(n == 0 || n == 16 || (n < 0 && errno == ECONNRESET), "%zd", n);
	CHECK(n != 16 || memcmp(bytes, "sndf\1\0\0\0\0\0\0\0\2\0\0\0", 16) == 0);
	return n == 16;
}

/* --- how many ----------------------------------------------------------------------------------- */
static void takes_what_it_gets(void *arg)
{
	int links[20], welcome = 0;
	become(*(uid_t *)arg);
	for (int i = 0; i < 20; i++)
		links[i] = connects();
	parent_tell(1);
	parent_hear();
	for (int i = 0; i < 20; i++)
		welcome += is_welcome(links[i]);
	CHECK_EQ(welcome, OF_ONE);
	struct timespec limit = in_ms(10000);
	parent_tell(1);
	CHECK_ERR(sendfds(receiver, S, NULL, 0, "x", 1, &limit), EPERM);
	parent_tell(1);
	parent_hear();
	/* What it gives up can be had again. */
	for (int i = 0; i < 20; i++)
		if (is_welcome(links[i]) && welcome-- > OF_ONE - 3) {
			close(links[i]);
			links[i] = connects();
		}
	parent_tell(1);
	parent_hear();
	welcome = 0;
	for (int i = 0; i < 20; i++)
		welcome += is_welcome(links[i]);
	CHECK_EQ(welcome, OF_ONE);
}

static void sends_one(void *arg)
{
	become(*(uid_t *)arg);
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfds(receiver, S, NULL, 0, "y", 1, &limit));
}

/* Takes the parcel of somebody who is let in. */
static void expect_byte(sendfd_inbox *inbox, char byte)
{
	struct timespec limit = in_ms(10000);
	char got = 0;
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &got, 1, NULL, &limit), 0);
	CHECK_EQ(got, byte);
}

static void one_user_takes_what_it_gets(unsigned flags)
{
	need_backlog(2 * 21, flags); /* its two names share it */
	sendfd_inbox *inbox = open_to_guests(flags | SENDFD_INBOX_ANYONE, NULL);
	uid_t one = lonely_uid(), other = one + 1;
	struct child child = fork_child(takes_what_it_gets, &one);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	child_hear(&child);
	look_while(inbox, &child);
	struct child sender = fork_child(sends_one, &other);
	expect_byte(inbox, 'y');
	child_join(&sender);
	child_tell(&child, 1);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(sixteen_of_one_user, ROOT) { one_user_takes_what_it_gets(0); }
TEST_NEEDS(sixteen_of_one_user_quiet, ROOT) { one_user_takes_what_it_gets(SENDFD_INBOX_NOSIGNAL); }

/* A call that does not wait takes in, or turns away, some at a time. */
static void look_at_all(sendfd_inbox *inbox)
{
	do
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	while (readable(sendfd_inbox_fileno(inbox)));
}

static int most; /* of all */

static void many_users_come(void *arg)
{
	(void)arg;
	int count = most + 2 * OF_ONE, welcome = 0;
	int *links = calloc((size_t)count, sizeof *links);
	for (int i = 0; i < count; i++) {
		CHECK(seteuid(2000000 + (uid_t)(i / OF_ONE)) == 0);
		links[i] = connects();
		CHECK(seteuid(0) == 0);
		if (i % 64 == 63) {
			parent_tell(1);
			parent_hear();
		}
	}
	parent_tell(0);
	parent_hear();
	for (int i = 0; i < count; i++)
		welcome += is_welcome(links[i]);
	CHECK_EQ(welcome, most);
	for (int i = 0; i < count; i++)
		close(links[i]);
	/* All may come again. */
	parent_tell(1);
	parent_hear();
	CHECK(seteuid(3000000) == 0);
	int link = connects();
	parent_tell(1);
	parent_hear();
	CHECK(is_welcome(link));
	free(links);
}

static void many_come(rlim_t limit, int allowed)
{
	set_limit(RLIMIT_NOFILE, limit);
	most = allowed;
	sendfd_inbox *inbox = open_to_guests(SENDFD_INBOX_ANYONE | SENDFD_INBOX_NOSIGNAL, NULL);
	struct child child = fork_child(many_users_come, NULL);
	while (child_hear(&child)) {
		look_at_all(inbox);
		child_tell(&child, 1);
	}
	look_at_all(inbox);
	/* One's own user comes in all the same. */
	CHECK_OK(sendfds(receiver, S, NULL, 0, "o", 1, &NOW));
	expect_byte(inbox, 'o');
	for (int i = 0; i < 3; i++) {
		child_tell(&child, 1);
		if (i < 2)
			child_hear(&child);
		look_at_all(inbox);
	}
	child_join(&child);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(a_thousand_of_all, ROOT) { many_come(6000, OF_ALL); }
TEST_NEEDS(a_quarter_of_the_table, ROOT) { many_come(1024, 256); }

/* --- strangers at the listener of guests -------------------------------------------------------- */
static void fill_the_line(void *arg)
{
	become(*(uid_t *)arg);
	set_limit(RLIMIT_NOFILE, 4200);
	int link, count = 0;
	while ((link = raw_connect(guest_name)) >= 0)
		count++;
	CHECK(link == -EAGAIN || link == -EMFILE, "%s", errno_name(-link));
	CHECK(count > 0);
	parent_tell(count);
	parent_hear();
}

static void a_full_line(unsigned flags)
{
	uid_t invited = lonely_uid(), stranger = invited + 1;
	sendfd_inbox *inbox = open_to_guests(flags, &invited);
	struct child child = fork_child(fill_the_line, &stranger);
	child_hear(&child);
	CHECK_OK(sendfds(receiver, S, NULL, 0, "o", 1, &NOW));
	expect_byte(inbox, 'o');
	child_tell(&child, 1);
	child_join(&child);
	struct child sender = fork_child(sends_one, &invited);
	expect_byte(inbox, 'y');
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(a_line_full_of_strangers_is_not_ours, ROOT) { a_full_line(0); }
TEST_NEEDS(a_line_full_of_strangers_is_not_ours_quiet, ROOT) { a_full_line(SENDFD_INBOX_NOSIGNAL); }

/* Signals that strangers make, who connect while nobody looks. */
TEST_NEEDS(strangers_queue_few_signals, ROOT)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
	uid_t invited = lonely_uid(), stranger = invited + 1;
	sendfd_inbox *inbox = open_to_guests(0, &invited);
	struct child child = fork_child(fill_the_line, &stranger);
	long count = child_hear(&child);
	long share = (long)(limit.rlim_cur / 64 < 4096 ? limit.rlim_cur / 64 : 4096);
	share = share < 16 ? 16 : share;
	CHECK(count <= share / 2 + 1, "%ld, not %ld", count, share / 2 + 1);
	child_tell(&child, 1);
	child_join(&child);
	look_at_all(inbox);
	sendfd_inbox_close(inbox);
}

static void besieges(void *arg)
{
	become(*(uid_t *)arg);
	int held[40];
	for (int round = 0;; round++) {
		for (int i = 0; i < 40; i++) {
			held[i] = raw_connect(guest_name);
			if (held[i] < 0)
				continue;
			struct wire wire = round % 2 ? WIRE(7, 9) : (struct wire){{'x'}, 0, 0, 0, 0};
			if (i % 4 == 1)
				raw_send(held[i], &wire, sizeof wire, (int[]){2}, 1);
			if (i % 4 == 2)
				raw_send(held[i], "", 0, NULL, 0);
			if (i % 4 == 3) {
				close(held[i]);
				held[i] = -1;
			}
		}
		for (int i = 0; i < 40; i++)
			if (held[i] >= 0)
				close(held[i]);
		if (round == 10)
			parent_tell(1);
	}
}

static void sends_hundreds(void *arg)
{
	(void)arg;
	struct timespec limit = in_ms(10000);
	for (int i = 0; i < 300; i++) {
		char byte = (char)i;
		CHECK_OK(sendfds(receiver, S, NULL, 0, &byte, 1, &limit));
		if (i % 10 == 0) { /* first contact, again and again */
			sendfd_outbox *outbox = NULL;
			CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
			sendfd_outbox_close(outbox);
		}
	}
}

static void a_siege(unsigned flags, bool invited)
{
	uid_t uid = lonely_uid();
	guest = invited ? uid : uid + 1;
	sendfd_inbox *inbox = open_to_guests(flags, &guest);
	struct child strangers[2] = {fork_child(besieges, &uid), fork_child(besieges, &uid)};
	/* They have connected as often as fits; from now on they come as fast as they are turned away. */
	struct timespec moment = in_ms(1);
	for (int i = 0; i < 2; i++) {
		while (!readable(strangers[i].from))
			CHECK_EQ(sendfd_recv(inbox, NULL, &moment), -ETIMEDOUT);
		child_hear(&strangers[i]);
	}
	struct child sender = fork_child(sends_hundreds, NULL);
	for (int i = 0; i < 300; i++)
		expect_byte(inbox, (char)i);
	child_join(&sender);
	for (int i = 0; i < 2; i++)
		child_kill(&strangers[i]);
	sendfd_inbox_close(inbox);
}

TEST_WITH(own_mail_while_strangers_come, 60, ROOT) { a_siege(0, false); }
TEST_WITH(own_mail_while_strangers_come_quiet, 60, ROOT) { a_siege(SENDFD_INBOX_NOSIGNAL, false); }
TEST_WITH(own_mail_while_guests_lie, 60, ROOT) { a_siege(0, true); }
TEST_WITH(own_mail_while_guests_lie_quiet, 60, ROOT) { a_siege(SENDFD_INBOX_NOSIGNAL, true); }

/* --- who goes around the library ---------------------------------------------------------------- */
static struct witness witness;

static void sends_unasked(void *arg)
{
	become(*(uid_t *)arg);
	int link = connects();
	struct wire wire = WIRE(1, 0);
	CHECK_EQ(raw_send(link, &wire, sizeof wire, &witness.sent, 1), 0);
	close(witness.sent);
	close(witness.end);
	parent_tell(1);
	parent_hear();
	CHECK(!is_welcome(link));
}

TEST_NEEDS(what_a_stranger_sends_is_released_unseen, ROOT)
{
	uid_t invited = lonely_uid(), stranger = invited + 1;
	sendfd_inbox *inbox = open_to_guests(0, &invited);
	witness = make_witness();
	struct child child = fork_child(sends_unasked, &stranger);
	close(witness.sent);
	child_hear(&child);
	expect_empty(inbox);
	CHECK(witness_released(witness.end, 10000));
	close(witness.end);
	child_tell(&child, 1);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void lies_once_it_is_in(void *arg)
{
	become(*(uid_t *)arg);
	int link = connects();
	parent_tell(1);
	parent_hear();
	CHECK(is_welcome(link));
	struct wire lie = WIRE(3, 0);
	CHECK_EQ(raw_send(link, &lie, sizeof lie, (int[]){2}, 1), 0);
	parent_tell(1);
	parent_hear();
	struct pollfd closed = {link, 0, 0};
	CHECK(poll(&closed, 1, 10000) == 1 && (closed.revents & POLLHUP));
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfds(receiver, S, NULL, 0, "y", 1, &limit));
}

TEST_NEEDS(a_guest_who_lies_loses_its_connection, ROOT)
{
	uid_t invited = lonely_uid();
	sendfd_inbox *inbox = open_to_guests(0, &invited);
	struct child child = fork_child(lies_once_it_is_in, &invited);
	for (int i = 0; i < 2; i++) {
		child_hear(&child);
		expect_empty(inbox);
		child_tell(&child, 1);
	}
	expect_byte(inbox, 'y');
	child_join(&child);
	sendfd_inbox_close(inbox);
}
