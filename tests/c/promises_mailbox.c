/* Promises 7 to 11: what is in the mailbox, and what becomes of it. */
#include "harness.h"

static pid_t target;

static void p07_flooder(void *arg)
{
	(void)arg;
	int sent;
	fill_mailbox(target, S, &sent);
	int fd = make_memfd(1);
	CHECK_ERR(sendfd(target, S, fd), EAGAIN);
	parent_tell(sent);
	parent_hear();
	CHECK_OK(sendfd(target, S, fd)); /* room again */
}

static void p07_other(void *arg)
{
	(void)arg;
	int fd = make_memfd(7);
	CHECK_OK(sendfd(target, S, fd));
}

/* A flood ends with EAGAIN for the one who floods; others go on; what was accepted arrives. */
TEST(p07_floods_are_bounded)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child flooder = fork_child(p07_flooder, NULL);
	long sent = child_hear(&flooder);
	CHECK(sent >= 10 && sent <= 2000, "%ld parcels in one mailbox", sent);
	struct child other = fork_child(p07_other, NULL);
	child_join(&other);
	int flood = 0, others = 0;
	while (flood + others < sent + 1) {
		int fd = recv_soon(inbox, NULL);
		long number = memfd_number(fd);
		CHECK(number == 1 || number == 7);
		*(number == 1 ? &flood : &others) += 1;
		close(fd);
	}
	CHECK_EQ(flood, sent);
	expect_empty(inbox);
	child_tell(&flooder, 0);
	child_join(&flooder);
	expect_number(inbox, 1);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void send_pipe_end(void *arg)
{
	struct witness *w = arg;
	close(w->end);
	for (int i = 0; i < 10; i++)
		CHECK_OK(sendfd(target, S, w->sent));
}

static void p08_unprepared(void *arg)
{
	(void)arg;
	parent_tell(0);
	parent_hear();
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		CHECK(!pending(sig));
	CHECK(!pending(SIGIO));
}

TEST(p08_nothing_out_of_the_blue)
{
	/* A process that did not prepare gets nothing, above all no signal that would kill it. */
	struct child unprepared = fork_child(p08_unprepared, NULL);
	child_hear(&unprepared);
	for (int i = 0; i < 100; i++)
		CHECK_ERR(sendfd(unprepared.pid, S, 0), ECONNREFUSED);
	child_tell(&unprepared, 0);
	child_join(&unprepared);

	/* One that did: its table is as it was until it elects to receive. */
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct witness w = make_witness();
	struct child sender = fork_child(send_pipe_end, &w);
	close(w.sent);
	int before = count_fds() - 2; /* without the two pipes of the child */
	int lowest = lowest_free();
	child_join(&sender);
	CHECK_EQ(count_fds(), before);
	CHECK_EQ(lowest_free(), lowest < sender.to ? lowest : sender.to);
	/* The kernel holds one reference for each: no EOF before they are taken and closed. */
	CHECK(!witness_released(w.end, 0));
	for (int i = 0; i < 10; i++) {
		close(recv_soon(inbox, NULL));
		CHECK(witness_released(w.end, 0) == (i == 9), "after %d", i);
	}
	close(w.end);
	sendfd_inbox_close(inbox);
}

TEST(p08_mail_never_taken_is_released_by_close)
{
	target = getpid();
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct witness w = make_witness();
		struct child sender = fork_child(send_pipe_end, &w);
		close(w.sent);
		child_join(&sender);
		if (flags & 1) /* with some links accepted, too */
			close(recv_soon(inbox, NULL));
		CHECK(!witness_released(w.end, 0));
		sendfd_inbox_close(inbox);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
	}
}

static void p09_sender(void *arg)
{
	int fd = *(int *)arg;
	parent_tell(0);
	parent_hear();
	CHECK_OK(sendfd(target, S, fd));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	parent_tell(0);
	parent_hear();
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1234); /* the receiver moved the offset they share */
	CHECK(fcntl(fd, F_GETFL) & O_APPEND);   /* and set a status flag they share */
}

TEST(p09_installed_as_by_dup)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	int fd = make_memfd(9), gaps[3];
	struct child sender = fork_child(p09_sender, &fd);
	child_hear(&sender);
	for (int i = 0; i < 3; i++)
		gaps[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	child_tell(&sender, 0);
	child_hear(&sender);
	close(gaps[1]);
	CHECK_EQ(lowest_free(), gaps[1]);
	int got = recv_soon(inbox, NULL);
	CHECK_EQ(got, gaps[1]);
	CHECK(is_cloexec(got));
	CHECK(same_description(got, fd));
	CHECK_EQ(lseek(got, 1234, SEEK_SET), 1234);
	CHECK(fcntl(got, F_SETFL, O_APPEND) == 0);
	child_tell(&sender, 0);
	child_join(&sender);
	for (int i = 0; i < 3; i++)
		close(gaps[i]); /* gaps[1] is got */
	close(fd);
	sendfd_inbox_close(inbox);
}

/* Once the inbox stands, receiving takes no low number for itself: a first contact, then a kept link. */
TEST(p09_lowest_number_free_at_each_receive)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		int fd = make_memfd(9), got[20];
		for (int i = 0; i < 20; i++)
			CHECK_OK(sendfd(target, S, fd));
		for (int i = 0; i < 20; i++) {
			int lowest = lowest_free();
			got[i] = recv_soon(inbox, NULL);
			CHECK_EQ(got[i], lowest);
		}
		for (int i = 0; i < 20; i++)
			close(got[i]);
		close(fd);
		sendfd_inbox_close(inbox);
	}
}

TEST(p10_the_mailbox_through_itself_is_harmless)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_OK(sendfd(getpid(), S, sendfd_inbox_fileno(inbox)));
	int got = recv_soon(inbox, NULL);
	CHECK_OK(sendfd(getpid(), S, got));
	CHECK(readable(got)); /* the descriptor of the set that the set's own mail waits in */
	close(got);
	sendfd_inbox_close(inbox); /* with the set in its own mail; the harness counts descriptors */
}

static void p11_close(void *arg)
{
	(void)arg;
	send_memfd(target, 11);
	parent_tell(0);
	parent_hear();
}

static void p11_exit(void *arg)
{
	(void)arg;
	CHECK_OK(sendfd(target, S, make_memfd(11)));
}

static void p11_killed(void *arg)
{
	(void)arg;
	for (long n = 0; n < 20; n++)
		CHECK_OK(sendfd(target, S, make_memfd(n)));
	kill(getpid(), SIGKILL);
}

TEST(p11_the_sender_may_close)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(p11_close, NULL);
	child_hear(&sender);
	expect_number(inbox, 11);
	child_tell(&sender, 0);
	sendfd_inbox_close(inbox);
}

TEST(p11_the_sender_may_exit)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(p11_exit, NULL);
	child_join(&sender);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 11);
	CHECK_EQ(info.pid, sender.pid);
	CHECK_EQ(info.uid, getuid());
	sendfd_inbox_close(inbox);
}

TEST(p11_the_sender_may_be_killed)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		pid_t sender = fork();
		CHECK(sender >= 0);
		if (sender == 0)
			p11_killed(NULL);
		CHECK(!exited_well(sender)); /* reaped: nothing of it is left */
		for (long n = 0; n < 20; n++) {
			sendfd_info info;
			take_number(recv_soon(inbox, &info), n);
			CHECK_EQ(info.pid, sender);
		}
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}
