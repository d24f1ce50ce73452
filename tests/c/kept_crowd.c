/* Parcels that cannot be taken and are kept: mail comes before them, also behind many ends, and behind many of them. */
#include "named.h"

#define CROWD 60 /* one look shows 64 */
#define KEPT 252

static void sends_when_told(void *arg)
{
	(void)arg;
	for (long count; (count = parent_hear());) {
		int fds[2] = {make_memfd(count), 2};
		CHECK_OK(sendfds(target, S, fds, (size_t)count, NULL, 0, NULL));
		close(fds[0]);
		parent_tell(0);
	}
}

/* Each link is known before the next one is made. */
static void connects_and_goes(void *arg)
{
	(void)arg;
	for (int i = 0; i < CROWD; i++) {
		int link = raw_connect(name);
		CHECK(link >= 0 && raw_send(link, &WIRE(1, 0), sizeof WIRE(1, 0), (int[]){2}, 1) == 0);
		parent_tell(0);
		parent_hear();
	}
}

static void mail_comes_first(unsigned flags)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child one = fork_child(sends_when_told, NULL), other = fork_child(sends_when_told, NULL);
	struct child crowd = fork_child(connects_and_goes, NULL);
	for (int i = 0; i < CROWD; i++) {
		child_hear(&crowd);
		close(recv_soon(inbox, NULL));
		if (i < CROWD - 1)
			child_tell(&crowd, 0);
	}
	let_send(&one, 1);
	take_number(recv_soon(inbox, NULL), 1);
	let_send(&other, 2); /* too large for sendfd_recv */
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
	child_tell(&crowd, 0);
	child_join(&crowd);
	let_send(&one, 1);
	take_number(recv_soon(inbox, NULL), 1);
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
	int fds[2];
	CHECK_EQ(sendfd_recvs(inbox, fds, 2, NULL, 0, NULL, &NOW), 2);
	take_number(fds[0], 2);
	close(fds[1]);
	let_end(&one);
	let_end(&other);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(mail_behind_many_ends_comes_first) { mail_comes_first(0); }
TEST(mail_behind_many_ends_comes_first_quiet) { mail_comes_first(SENDFD_INBOX_NOSIGNAL); }

static void send_what_is_too_large(void *arg)
{
	(void)arg;
	for (int i = 0; i < KEPT; i++) {
		int link = raw_connect(name);
		CHECK(link >= 0 && raw_send(link, &WIRE(2, 0), sizeof WIRE(2, 0), (int[]){2, 2}, 2) == 0);
		parent_tell(0);
		parent_hear(); /* it is kept */
	}
}

static void mail_comes_before_many(unsigned flags)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child one = fork_child(sends_when_told, NULL);
	let_send(&one, 1);
	take_number(recv_soon(inbox, NULL), 1);
	struct child many = fork_child(send_what_is_too_large, NULL);
	for (int i = 0; i < KEPT; i++) {
		child_hear(&many);
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
		if (i < KEPT - 1)
			child_tell(&many, 0);
	}
	for (int i = 0; i < 5; i++) {
		let_send(&one, 1);
		take_number(recv_soon(inbox, NULL), 1);
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
	}
	child_tell(&many, 0);
	child_join(&many);
	let_end(&one);
	sendfd_inbox_close(inbox);
}

TEST(mail_behind_many_that_are_kept_comes_first) { mail_comes_before_many(0); }
TEST(mail_behind_many_that_are_kept_comes_first_quiet) { mail_comes_before_many(SENDFD_INBOX_NOSIGNAL); }
