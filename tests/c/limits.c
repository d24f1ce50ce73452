/* Full tables, full signal queues, full mailboxes. */
#include "harness.h"

static pid_t target;

static void send_many(void *arg)
{
	int count = *(int *)arg;
	for (int n = 0; n < count; n++) {
		int fd = make_memfd(n);
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
		close(fd);
	}
}

/* Its end would show as something to read. */
static void send_many_and_stay(void *arg)
{
	send_many(arg);
	parent_hear();
}

/* Takes every free number up to the limit; gives back how many to close. */
static int hoard[4096], hoarded;
static void fill_table(rlim_t limit)
{
	set_limit(RLIMIT_NOFILE, limit);
	hoarded = 0;
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	CHECK_EQ(errno, EMFILE);
}

static void make_room(int numbers)
{
	while (numbers-- > 0 && hoarded > 0)
		close(hoard[--hoarded]);
}

TEST(a_full_table_keeps_the_parcel)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		set_limit(RLIMIT_NOFILE, 200);
		sendfd_inbox *inbox = open_inbox(S, flags);
		int count = 3;
		struct child sender = fork_child(send_many, &count);
		child_join(&sender);
		fill_table(200);
		sendfd_info info = {.nfds = 77};
		int fd = -7;
		for (int i = 0; i < 50; i++) {
			CHECK_ERR(sendfd_recv(inbox, &info, NULL), EMFILE);
			CHECK_ERR(sendfd_recvs(inbox, &fd, 1, NULL, 0, &info, &NOW), EMFILE);
		}
		CHECK(info.nfds == 1 && info.pid == sender.pid && info.id != 0);
		CHECK_EQ(fd, -7);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		for (long n = 0; n < 3; n++) {
			make_room(1);
			int lowest = lowest_free();
			CHECK_EQ(recv_soon(inbox, &info), lowest);
			CHECK_EQ(memfd_number(lowest), n);
			if (n < 2)
				CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMFILE);
			hoard[hoarded++] = lowest; /* the table is full again */
		}
		make_room(4096);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void send_252(void *arg)
{
	(void)arg;
	int fds[252];
	for (int i = 0; i < 252; i++)
		fds[i] = make_memfd(i);
	CHECK_OK(sendfds(target, S, fds, 252, "all", 3, NULL));
	CHECK_OK(sendfd(target, S, fds[7]));
}

TEST(a_full_table_keeps_all_252)
{
	target = getpid();
	set_limit(RLIMIT_NOFILE, 600);
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(send_252, NULL);
	child_join(&sender);
	fill_table(600);
	int fds[252];
	for (int room = 0; room < 252; room += 63) {
		CHECK_ERR(sendfd_recvs(inbox, fds, 252, NULL, 0, NULL, NULL), EMSGSIZE); /* 3 bytes */
		char data[3];
		int before = count_fds();
		CHECK_ERR(sendfd_recvs(inbox, fds, 252, data, 3, NULL, NULL), EMFILE);
		CHECK_EQ(count_fds(), before);
		make_room(63);
	}
	char data[3];
	CHECK_EQ(sendfd_recvs(inbox, fds, 252, data, 3, NULL, NULL), 252);
	for (int i = 0; i < 252; i++) {
		CHECK(is_cloexec(fds[i]));
		take_number(fds[i], i);
	}
	CHECK(memcmp(data, "all", 3) == 0);
	expect_number(inbox, 7);
	make_room(4096);
	sendfd_inbox_close(inbox);
}

/* Senders that the receiver never met, while not one number is free. */
TEST(a_full_table_at_first_contact)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		set_limit(RLIMIT_NOFILE, 200);
		sendfd_inbox *inbox = open_inbox(S, flags);
		int count = 2;
		for (int i = 0; i < 5; i++) {
			struct child sender = fork_child(send_many, &count);
			child_join(&sender);
		}
		fill_table(200);
		sendfd_info info = {.id = 77};
		CHECK_ERR(sendfd_recv(inbox, NULL, NULL), EMFILE);
		for (int i = 0; i < 20; i++)
			CHECK_ERR(sendfd_recv(inbox, &info, NULL), EMFILE);
		CHECK_EQ(info.id, 0); /* there is no room for a sender's connection */
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		make_room(10);
		for (int i = 0; i < 10; i++)
			close(recv_soon(inbox, NULL));
		expect_empty(inbox);
		make_room(4096);
		sendfd_inbox_close(inbox);
	}
}

TEST(an_open_with_a_full_table_fails_cleanly)
{
	for (rlim_t limit = 16;; limit++) {
		fill_table(64);
		int fds = count_fds();
		make_room((int)limit - 16);
		uint64_t mask = mask_now();
		sendfd_inbox *inbox = NULL;
		int result = sendfd_inbox_open(S, 0, &inbox);
		if (result == 0) {
			sendfd_inbox_close(inbox);
			CHECK(limit > 16);
		} else {
			CHECK(result == -EMFILE && !inbox, "%s", errno_name(-result));
		}
		CHECK(mask_now() == mask, "the mask is not what it was");
		CHECK_EQ(count_fds(), fds - ((int)limit - 16));
		make_room(4096);
		if (result == 0)
			return;
		CHECK(limit < 30);
	}
}

static void small_queue_receiver(void *arg)
{
	unsigned flags = *(unsigned *)arg;
	become(lonely_uid());
	set_limit(RLIMIT_SIGPENDING, 8);
	sendfd_inbox *inbox = open_inbox(S, flags);
	parent_tell((long)getuid());
	parent_hear();
	for (long n = 0; n < 500; n++)
		expect_number(inbox, n);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* 8 signals fit into the queue; 500 parcels arrive, in order. */
TEST_NEEDS(a_full_signal_queue_loses_nothing, ROOT)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child receiver = fork_child(small_queue_receiver, &flags);
		child_hear(&receiver);
		target = receiver.pid;
		int count = 500;
		/* the mailbox of one sender holds fewer: it waits for room */
		struct child sender = fork_child(send_many_and_stay, &count);
		child_tell(&receiver, 0);
		child_join(&receiver);
		child_tell(&sender, 0);
		child_join(&sender);
	}
}

static void deadline_sender(void *arg)
{
	int sent, fd = make_memfd(2);
	long waits[] = {20, 100, 400};
	(void)arg;
	fill_mailbox(target, S, &sent);
	CHECK_ERR(sendfds(target, S, &fd, 1, NULL, 0, &NOW), EAGAIN);
	for (int i = 0; i < 3; i++) {
		struct timespec limit = in_ms(waits[i]);
		CHECK_TIMES_OUT(sendfds(target, S, &fd, 1, NULL, 0, &limit), waits[i]);
	}
	parent_tell(sent);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL)); /* waits until there is room */
}

TEST(a_full_mailbox_keeps_deadlines_and_mail)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(deadline_sender, NULL);
	long sent = child_hear(&sender);
	for (long n = 0; n < sent; n++)
		expect_number(inbox, 1);
	expect_number(inbox, 2);
	child_join(&sender);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void waits_for_ever(void *arg)
{
	(void)arg;
	int sent, fd = make_memfd(2);
	fill_mailbox(target, S, &sent);
	parent_tell(sent);
	int result = sendfds(target, S, &fd, 1, NULL, 0, NULL);
	CHECK(result == -ECONNREFUSED || result == -ESRCH, "%s", errno_name(-result));
}

static void never_looks(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	if (parent_hear() == 1)
		sendfd_inbox_close(inbox);
	if (*(int *)arg)
		parent_hear();
}

/* A sender that waits for room learns that the receiver closed its inbox, or died. */
TEST(a_waiting_sender_notices_the_end)
{
	for (int killed = 0; killed < 2; killed++) {
		int stay = 1;
		struct child receiver = fork_child(never_looks, &stay);
		child_hear(&receiver);
		target = receiver.pid;
		struct child sender = fork_child(waits_for_ever, NULL);
		child_hear(&sender);
		if (killed) {
			child_kill(&receiver);
		} else {
			child_tell(&receiver, 1);
			child_join(&sender);
			child_tell(&receiver, 0);
			child_join(&receiver);
			continue;
		}
		child_join(&sender);
	}
}

static void in_flight_sender(void *arg)
{
	(void)arg;
	become((uid_t)parent_hear());
	int fds[40], result, sent = 0;
	for (int i = 0; i < 40; i++)
		fds[i] = 2;
	set_limit(RLIMIT_NOFILE, 64);
	while ((result = sendfds(target, S, fds, 40, NULL, 0, &NOW)) == 0)
		CHECK(++sent < 100);
	CHECK(result == -ETOOMANYREFS && errno == ETOOMANYREFS, "%s", errno_name(-result));
	struct timespec limit = in_ms(10000);
	CHECK_ERR(sendfds(target, S, fds, 1, NULL, 0, &limit), ETOOMANYREFS);
	parent_tell(sent);
	parent_hear();
	CHECK_OK(sendfds(target, S, fds, 1, NULL, 0, &NOW)); /* once some were taken */
}

static void in_flight_receiver(void *arg)
{
	(void)arg;
	become(lonely_uid());
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell((long)getuid());
	int fds[40];
	for (long sent = parent_hear(); sent > 0; sent--) {
		CHECK_EQ(sendfd_recvs(inbox, fds, 40, NULL, 0, NULL, NULL), 40);
		for (int i = 0; i < 40; i++)
			close(fds[i]);
	}
	parent_tell(0);
	close(recv_soon(inbox, NULL));
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(etoomanyrefs, ROOT)
{
	struct child receiver = fork_child(in_flight_receiver, NULL);
	long uid = child_hear(&receiver);
	target = receiver.pid;
	struct child sender = fork_child(in_flight_sender, NULL);
	child_tell(&sender, uid);
	child_tell(&receiver, child_hear(&sender));
	child_hear(&receiver);
	child_tell(&sender, 0);
	child_join(&sender);
	child_join(&receiver);
}
