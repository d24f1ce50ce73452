/* In which order parcels come, and that they are there at once. */
#include "harness.h"

static pid_t target;

struct way {
	const char *name;
	unsigned flags;
	bool claim;
	rlim_t queue;
};

static const struct way WAYS[] = {
	{"recv", 0, false, 0},
	{"claim", 0, true, 0},
	{"quiet", SENDFD_INBOX_NOSIGNAL, false, 0},
	{"recv, small queue", 0, false, 8},
	{"claim, small queue", 0, true, 3},
};

static sendfd_inbox *begin(const struct way *way)
{
	if (way->queue)
		set_limit(RLIMIT_SIGPENDING, way->queue);
	target = getpid();
	return open_inbox(S, way->flags);
}

static int take_next(const struct way *way, sendfd_inbox *inbox, sendfd_info *info)
{
	if (!way->claim)
		return recv_soon(inbox, info);
	sigset_t set = set_of(S, SIGIO, 0);
	for (;;) {
		siginfo_t si;
		struct timespec limit = in_ms(5000 * (long)slower());
		CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep, the inbox polls %s",
		      readable(sendfd_inbox_fileno(inbox)) ? "readable" : "not readable");
		int fd = sendfd_claim(inbox, &si, info);
		if (fd >= 0)
			return fd;
		CHECK_EQ(fd, -EAGAIN);
	}
}

#define EACH 1500

static void counts_up(void *arg)
{
	(void)arg;
	for (long n = 0; n < EACH; n++) {
		int fd = make_memfd(n);
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
		close(fd);
	}
}

static void each_sender_in_order(size_t index)
{
	const struct way *way = &WAYS[index];
	struct child senders[4];
	long next[4] = {0};
	sendfd_inbox *inbox = begin(way);
	for (int i = 0; i < 4; i++)
		senders[i] = fork_child(counts_up, NULL);
	for (int i = 0; i < 4 * EACH; i++) {
		sendfd_info info;
		int fd = take_next(way, inbox, &info), who = 0;
		while (who < 4 && senders[who].pid != info.pid)
			who++;
		CHECK(who < 4, "pid %d", (int)info.pid);
		CHECK(memfd_number(fd) == next[who], "%s: %ld, not %ld", way->name, memfd_number(fd), next[who]);
		next[who]++;
		close(fd);
	}
	for (int i = 0; i < 4; i++)
		child_join(&senders[i]);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST_LIMIT(each_sender_recv, 40) { each_sender_in_order(0); }
TEST_LIMIT(each_sender_claim, 40) { each_sender_in_order(1); }
TEST_LIMIT(each_sender_quiet, 40) { each_sender_in_order(2); }
TEST_LIMIT(each_sender_recv_small_queue, 40) { each_sender_in_order(3); }
TEST_LIMIT(each_sender_claim_small_queue, 40) { each_sender_in_order(4); }

static void takes_turns(void *arg)
{
	(void)arg;
	for (long n; (n = parent_hear()) >= 0;) {
		send_memfd(target, n);
		parent_tell(n);
	}
}

/* Once the links stand, the order of arrival holds across all senders. */
static void global_order(const struct way *way)
{
	struct child senders[3];
	sendfd_inbox *inbox = begin(way);
	for (int i = 0; i < 3; i++) {
		senders[i] = fork_child(takes_turns, NULL);
		child_tell(&senders[i], 0);
		child_hear(&senders[i]);
		take_number(take_next(way, inbox, NULL), 0);
	}
	sigset_t set = set_of(S, SIGIO, 0);
	while (way->claim && sigtimedwait(&set, NULL, &NOW) > 0)
		;
	unsigned turn = 1;
	for (long round = 0; round < 20; round++) {
		for (long n = 0; n < 30; n++) {
			turn = turn * 1103515245u + 12345u;
			int who = (int)(turn >> 16) % 3;
			child_tell(&senders[who], round * 100 + n);
			child_hear(&senders[who]);
		}
		for (long n = 0; n < 30; n++)
			take_number(take_next(way, inbox, NULL), round * 100 + n);
	}
	for (int i = 0; i < 3; i++) {
		child_tell(&senders[i], -1);
		child_join(&senders[i]);
	}
	sendfd_inbox_close(inbox);
}

TEST(all_senders_recv) { global_order(&WAYS[0]); }
TEST(all_senders_claim) { global_order(&WAYS[1]); }

/* sendfd has returned 0: it is there, and the descriptor says so. */
TEST(what_was_sent_is_there_at_once)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		for (long n = 0; n < 3000; n++) {
			send_memfd(getpid(), n);
			CHECK(n % 2 || readable(sendfd_inbox_fileno(inbox)), "%ld", n);
			take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), n);
		}
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

TEST(what_others_sent_is_there_at_once)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child senders[3];
		target = getpid();
		sendfd_inbox *inbox = open_inbox(S, flags);
		for (int i = 0; i < 3; i++)
			senders[i] = fork_child(takes_turns, NULL);
		for (long n = 0; n < 600; n++) {
			child_tell(&senders[n % 3], n);
			child_hear(&senders[n % 3]);
			CHECK(readable(sendfd_inbox_fileno(inbox)));
			take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), n);
		}
		for (int i = 0; i < 3; i++) {
			child_tell(&senders[i], -1);
			child_join(&senders[i]);
		}
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* Two inboxes of one thread share SIGIO, which is handed to both; neither may sleep on mail. */
static void two_inboxes(rlim_t queue)
{
	struct child senders[2];
	sigset_t set = set_of(S, S + 1, SIGIO, 0);
	set_limit(RLIMIT_SIGPENDING, queue);
	target = getpid();
	sendfd_inbox *one = open_inbox(S, 0), *two = open_inbox(S + 1, 0);
	for (int i = 0; i < 2; i++)
		senders[i] = fork_child(takes_turns, NULL);
	for (int round = 0; round < 100; round++) {
		int left = 0, fd = make_memfd(5);
		for (int i = 0; i < 20; i++, left += 2) {
			CHECK_OK(sendfd(target, S, fd));
			CHECK_OK(sendfd(target, S + 1, fd));
		}
		close(fd);
		for (int i = 0; i < 2; i++, left++) {
			child_tell(&senders[i], 5);
			child_hear(&senders[i]);
		}
		while (left > 0) {
			siginfo_t si;
			struct timespec limit = in_ms(5000 * (long)slower());
			int sig = sigtimedwait(&set, &si, &limit);
			CHECK(sig > 0, "asleep with %d left; they poll %d %d", left, readable(sendfd_inbox_fileno(one)),
			      readable(sendfd_inbox_fileno(two)));
			for (int i = 0; i < 2; i++) {
				if (sig != SIGIO && sig != S + i)
					continue;
				fd = sendfd_claim(i ? two : one, &si, NULL);
				CHECK(fd >= 0 || fd == -EAGAIN, "%s", errno_name(-fd));
				if (fd >= 0) {
					take_number(fd, 5);
					left--;
				}
			}
		}
	}
	for (int i = 0; i < 2; i++) {
		child_tell(&senders[i], -1);
		child_join(&senders[i]);
	}
	sendfd_inbox_close(one);
	sendfd_inbox_close(two);
	CHECK(!pending(SIGIO) && !pending(S) && !pending(S + 1));
}

TEST_LIMIT(two_inboxes_of_one_thread, 40) { two_inboxes(10000); }
TEST_LIMIT(two_inboxes_of_one_thread_no_queue, 40) { two_inboxes(0); }
TEST_WITH(two_inboxes_of_one_thread_small_queue, 40, ROOT)
{
	become(lonely_uid());
	two_inboxes(6);
}

/* The library itself dequeues the common SIGIO for one inbox; the other's claim loop hears of it. */
TEST_WITH(two_inboxes_one_of_them_claims, 40, ROOT)
{
	sigset_t set = set_of(S + 1, SIGIO, 0);
	become(lonely_uid());
	target = getpid();
	for (rlim_t queue = 0; queue < 8; queue++) {
		set_limit(RLIMIT_SIGPENDING, queue);
		sendfd_inbox *one = open_inbox(S, 0), *two = open_inbox(S + 1, 0);
		for (int round = 0; round < 50; round++) {
			int fd = make_memfd(5), left = 6;
			for (int i = 0; i < left; i++) {
				CHECK_OK(sendfd(target, S, fd));
				CHECK_OK(sendfd(target, S + 1, fd));
			}
			close(fd);
			for (int i = 0; i < left; i++)
				expect_number(one, 5);
			CHECK_ERR(sendfd_recv(one, NULL, &NOW), EAGAIN);
			while (left > 0) {
				siginfo_t si;
				struct timespec limit = in_ms(5000 * (long)slower());
				CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep with %d left, queue of %d", left,
				      (int)queue);
				fd = sendfd_claim(two, &si, NULL);
				CHECK(fd >= 0 || fd == -EAGAIN, "%s", errno_name(-fd));
				if (fd >= 0) {
					take_number(fd, 5);
					left--;
				}
			}
		}
		sendfd_inbox_close(one);
		sendfd_inbox_close(two);
	}
}
