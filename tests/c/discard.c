/* sendfd_discard(): throws away a parcel that could not be taken, unseen. */
#include "harness.h"

static const struct wire ONE = {{'s', 'n', 'd', 'f'}, 1, 1, 0, 0}, TWO = {{'s', 'n', 'd', 'f'}, 1, 2, 0, 0};

/* A connection of its own, as another sender has one. */
static int connected(void)
{
	char name[64];
	inbox_name(getpid(), S, name, sizeof name);
	return CHECK_OK(raw_connect(name));
}

static void send_one(int link, long number)
{
	int fd = make_memfd(number);
	CHECK_OK(raw_send(link, &ONE, sizeof ONE, &fd, 1));
	close(fd);
}

/* A parcel of two; the end of the file that tells when both are gone. */
static int send_two(int link)
{
	struct witness w = make_witness();
	int fds[2] = {w.sent, w.sent};
	CHECK_OK(raw_send(link, &TWO, sizeof TWO, fds, 2));
	close(w.sent);
	return w.end;
}

static void is_released(int end)
{
	CHECK(witness_released(end, 5000));
	close(end);
}

TEST(discarded_is_released_and_the_next_comes)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		if (flags == SENDFD_INBOX_THREAD)
			continue; /* of the first thread: has the same name */
		sendfd_inbox *inbox = open_inbox(S, flags);
		int link = connected();
		for (int round = 0; round < 20; round++) {
			sendfd_info info, again;
			int end = send_two(link), second = send_two(link);
			send_one(link, round);
			CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
			CHECK(!witness_released(end, 0));
			CHECK_EQ(sendfd_discard(inbox, &info), 0);
			is_released(end);
			CHECK_ERR(sendfd_discard(inbox, &info), EAGAIN);
			CHECK_ERR(sendfd_recv(inbox, &again, &NOW), EMSGSIZE);
			CHECK(again.id != info.id && again.nfds == 2 && again.pid == getpid());
			CHECK_ERR(sendfd_discard(inbox, &info), EAGAIN);
			CHECK_EQ(sendfd_discard(inbox, &again), 0);
			is_released(second);
			expect_number(inbox, round);
			expect_empty(inbox);
		}
		close(link);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* Not one free number is needed, so nothing comes into the table on the way. */
TEST(discarded_with_a_full_table)
{
	int hoard[256], hoarded = 0;
	set_limit(RLIMIT_NOFILE, 256);
	sendfd_inbox *inbox = open_inbox(S, 0);
	int link = connected(), end = send_two(link);
	send_one(link, 5);
	sendfd_info info = {.id = 0};
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
	CHECK_EQ(sendfd_discard(inbox, &info), 0);
	CHECK(witness_released(end, 5000));
	CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMFILE);
	CHECK(info.nfds == 1 && info.id != 0);
	CHECK_EQ(sendfd_discard(inbox, &info), 0);
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	while (hoarded)
		close(hoard[--hoarded]);
	close(end);
	send_one(link, 6);
	expect_number(inbox, 6);
	close(link);
	sendfd_inbox_close(inbox);
}

/* Which of several is discarded is said by the id; the others are there. */
TEST(several_are_kept_and_one_is_discarded)
{
	enum { LINKS = 9 };
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (int chosen = 0; chosen < LINKS; chosen++) {
			sendfd_inbox *inbox = open_inbox(S, flags);
			int links[LINKS], ends[LINKS], fds[2];
			sendfd_info infos[LINKS], info;
			for (int i = 0; i < LINKS; i++) {
				links[i] = connected();
				ends[i] = send_two(links[i]);
				CHECK_ERR(sendfd_recv(inbox, &infos[i], &NOW), EMSGSIZE);
				while (i && infos[i].id == infos[0].id) /* the first comes round again */
					CHECK_ERR(sendfd_recv(inbox, &infos[i], &NOW), EMSGSIZE);
			}
			for (int i = 0; i < LINKS; i++)
				send_one(links[i], i);
			CHECK_EQ(sendfd_discard(inbox, &infos[chosen]), 0);
			is_released(ends[chosen]);
			expect_number(inbox, chosen);
			for (int i = 0; i < LINKS; i++)
				CHECK(i == chosen || !witness_released(ends[i], 0));
			for (int i = 0; i < LINKS - 1; i++) {
				CHECK_EQ(sendfd_recvs(inbox, fds, 2, NULL, 0, &info, &NOW), 2);
				CHECK(info.id != infos[chosen].id);
				close(fds[0]);
				close(fds[1]);
			}
			for (int i = 0; i < LINKS - 1; i++)
				close(recv_soon(inbox, NULL));
			for (int i = 0; i < LINKS; i++) {
				if (i != chosen)
					is_released(ends[i]);
				close(links[i]);
			}
			expect_empty(inbox);
			sendfd_inbox_close(inbox);
		}
}

/* A loop that claims and discards gets everything else, and never sleeps on mail. */
static void claims_and_discards(bool full_queue)
{
	enum { SENDERS = 5, PARCELS = 40 };
	sigset_t set = set_of(S, SIGIO, 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	int links[SENDERS], taken = 0, discarded = 0, ends[SENDERS * PARCELS], sent = 0;
	if (full_queue)
		set_limit(RLIMIT_SIGPENDING, 0);
	for (int i = 0; i < SENDERS; i++)
		links[i] = connected();
	for (int n = 0; n < PARCELS; n++)
		for (int i = 0; i < SENDERS; i++) {
			if ((n + i) % 3 == 0)
				ends[sent++] = send_two(links[i]);
			else
				send_one(links[i], n);
		}
	while (taken + discarded < SENDERS * PARCELS) {
		siginfo_t si;
		sendfd_info info;
		struct timespec limit = in_ms(5000 * (long)slower());
		CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep after %d and %d", taken, discarded);
		int fd = sendfd_claim(inbox, &si, &info);
		if (fd >= 0) {
			close(fd);
			taken++;
		} else if (fd == -EMSGSIZE) {
			CHECK_EQ(sendfd_discard(inbox, &info), 0);
			discarded++;
		} else {
			CHECK(fd == -EAGAIN, "%s", errno_name(-fd));
		}
	}
	CHECK_EQ(discarded, sent);
	while (sent)
		is_released(ends[--sent]);
	for (int i = 0; i < SENDERS; i++)
		close(links[i]);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(a_loop_that_claims_and_discards) { claims_and_discards(false); }
TEST(a_loop_that_claims_and_discards_without_a_signal_queue) { claims_and_discards(true); }

static sendfd_inbox *shared;
static sendfd_info known;

static void *not_the_owner(void *arg)
{
	(void)arg;
	CHECK_ERR(sendfd_discard(shared, &known), EPERM);
	return NULL;
}

static void inherits(void *arg)
{
	(void)arg;
	CHECK_ERR(sendfd_discard(shared, &known), EPERM);
	sendfd_inbox_close(shared);
}

TEST(discard_errors)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		shared = open_inbox(S, flags);
		int link = connected(), end;
		sendfd_info info;
		CHECK_ERR(sendfd_discard(NULL, &info), EINVAL);
		CHECK_ERR(sendfd_discard(shared, NULL), EINVAL);
		send_one(link, 1);
		CHECK_ERR(sendfd_discard(shared, &(sendfd_info){.id = 0}), EAGAIN);
		CHECK_ERR(sendfd_discard(shared, &(sendfd_info){.id = 1}), EAGAIN); /* not reported: untouched */
		take_number(recv_soon(shared, &info), 1);
		CHECK_ERR(sendfd_discard(shared, &info), EAGAIN); /* taken */
		end = send_two(link);
		CHECK_ERR(sendfd_recv(shared, &known, &NOW), EMSGSIZE);
		CHECK_ERR(sendfd_discard(shared, &(sendfd_info){.id = known.id + 1}), EAGAIN);
		if (!flags)
			thread_join(thread_start(not_the_owner, NULL));
		struct child child = fork_child(inherits, NULL);
		child_join(&child);
		CHECK(!witness_released(end, 0));
		int fds[2];
		CHECK_EQ(sendfd_recvs(shared, fds, 2, NULL, 0, &info, &NOW), 2);
		CHECK_EQ(info.id, known.id);
		CHECK_ERR(sendfd_discard(shared, &known), EAGAIN); /* taken meanwhile */
		close(fds[0]);
		close(fds[1]);
		is_released(end);
		end = send_two(link);
		CHECK_ERR(sendfd_recv(shared, &known, &NOW), EMSGSIZE);
		CHECK_EQ(sendfd_inbox_shutdown(shared), 0);
		CHECK_ERR(sendfd_discard(shared, &known), EBADF);
		sendfd_inbox_close(shared);
		is_released(end);
		close(link);
	}
}

/* Two threads at one quiet inbox: a parcel is discarded once. */
static void *discards(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)sendfd_discard(shared, &known);
}

TEST(two_threads_discard_one_parcel)
{
	shared = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	int link = connected();
	for (int round = 0; round < 100; round++) {
		pthread_t threads[2];
		void *results[2];
		int end = send_two(link);
		send_one(link, round);
		CHECK_ERR(sendfd_recv(shared, &known, &NOW), EMSGSIZE);
		for (int i = 0; i < 2; i++)
			threads[i] = thread_start(discards, NULL);
		for (int i = 0; i < 2; i++)
			CHECK(pthread_join(threads[i], &results[i]) == 0);
		intptr_t one = (intptr_t)results[0], two = (intptr_t)results[1];
		CHECK((one == 0 && two == -EAGAIN) || (one == -EAGAIN && two == 0), "%ld %ld", (long)one, (long)two);
		is_released(end);
		expect_number(shared, round);
	}
	close(link);
	sendfd_inbox_close(shared);
}

/* --- what is slow to close --------------------------------------------------------------------------- */
TEST(discarding_waits_for_no_socket_that_lingers)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		int link = connected(), others[2];
		int fds[2] = {lingering_socket(&others[0]), lingering_socket(&others[1])};
		CHECK_OK(raw_send(link, &TWO, sizeof TWO, fds, 2));
		close(fds[0]);
		close(fds[1]);
		send_one(link, 1);
		sendfd_info info;
		CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
		long before = now_ms();
		CHECK_EQ(sendfd_discard(inbox, &info), 0);
		expect_number(inbox, 1);
		CHECK(now_ms() - before < 2000 * (long)slower(), "%ld ms", now_ms() - before);
		close(others[0]);
		close(others[1]);
		close(link);
		sendfd_inbox_close(inbox);
	}
}

/* --- what the sender is told ------------------------------------------------------------------------- */
static void asks_in_vain(void *arg)
{
	(void)arg;
	sendfd_outbox *outbox;
	sendfd_info info;
	struct timespec limit = in_ms(10000);
	int fds[2] = {2, 2};
	CHECK_OK(sendfd_outbox_open(getppid(), S, &NOW, &outbox));
	parent_tell(0);
	CHECK_ERR(sendfd_outbox_request(outbox, fds, 2, NULL, 0, fds, 2, NULL, 0, &info, &limit), ECONNRESET);
	sendfd_outbox_close(outbox);
}

static void is_told_that_it_was_taken(void *arg)
{
	(void)arg;
	sendfd_outbox *outbox;
	struct timespec limit = in_ms(10000);
	int fds[2] = {2, 2};
	CHECK_OK(sendfd_outbox_open(getppid(), S, &NOW, &outbox));
	CHECK_OK(sendfd_outbox_send(outbox, fds, 2, NULL, 0, &NOW));
	parent_tell(0);
	parent_hear(); /* it has been reported */
	CHECK_ERR(sendfd_outbox_wait_taken(outbox, &NOW), EAGAIN);
	parent_tell(0);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	sendfd_outbox_close(outbox);
}

TEST(a_discarded_request_has_no_answer)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child asker = fork_child(asks_in_vain, NULL);
	child_hear(&asker);
	sendfd_info info;
	struct timespec limit = in_ms(5000 * (long)slower());
	CHECK_ERR(sendfd_recv(inbox, &info, &limit), EMSGSIZE);
	CHECK(info.nfds == 2 && info.reply == -1, "nothing came into the table");
	CHECK_EQ(sendfd_discard(inbox, &info), 0);
	child_join(&asker);
	sendfd_inbox_close(inbox);
}

TEST(discarded_is_taken_to_its_sender)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = fork_child(is_told_that_it_was_taken, NULL);
	child_hear(&sender);
	sendfd_info info;
	CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
	child_tell(&sender, 0);
	child_hear(&sender);
	CHECK_EQ(sendfd_discard(inbox, &info), 0);
	child_join(&sender);
	sendfd_inbox_close(inbox);
}
