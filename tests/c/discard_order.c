/* What is discarded counts as taken: the others keep the order they have. */
#include "harness.h"

static pid_t target;

/* TOO_LARGE: with a descriptor more than sendfd_recv takes, and so many bytes. */
#define TOO_LARGE(bytes) (1001 + (bytes))

static void sends_when_told(void *arg)
{
	(void)arg;
	static const char bytes[100];
	for (long number; (number = parent_hear());) {
		int fds[2] = {make_memfd(number), 2};
		bool large = number > 1000;
		CHECK_OK(sendfds(target, S, fds, large ? 2 : 1, bytes, large ? (size_t)(number - TOO_LARGE(0)) : 0, NULL));
		close(fds[0]);
		parent_tell(0);
	}
}

static void discard_first(sendfd_inbox *inbox, int bytes)
{
	sendfd_info info;
	CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
	CHECK_EQ(info.len, bytes);
	CHECK_OK(sendfd_discard(inbox, &info));
}

TEST(signals_keep_the_order_of_arrival)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child one = fork_child(sends_when_told, NULL), other = fork_child(sends_when_told, NULL);
	let_send(&one, 1);
	expect_number(inbox, 1);
	let_send(&other, 2);
	expect_number(inbox, 2);
	for (int bytes = 0; bytes < 30; bytes += 10) {
		let_send(&one, TOO_LARGE(bytes));
		let_send(&other, 3);
		let_send(&one, 4);
		let_send(&other, 5);
		discard_first(inbox, bytes);
		expect_number(inbox, 3);
		expect_number(inbox, 4);
		expect_number(inbox, 5);
		expect_empty(inbox);
	}
	let_end(&one);
	let_end(&other);
	sendfd_inbox_close(inbox);
}

#define IN_A_ROW 32

/* Without signals each link has its turn: what is there, also of what comes meanwhile, but no more than a few
 * dozen parcels. A parcel that is discarded is none of them. */
TEST(each_link_has_its_turn)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	struct child one = fork_child(sends_when_told, NULL), other = fork_child(sends_when_told, NULL);
	let_send(&one, 1);
	expect_number(inbox, 1);
	let_send(&other, 2);
	expect_number(inbox, 2);
	expect_empty(inbox);
	for (int bytes = 0; bytes < 30; bytes += 10) {
		let_send(&one, TOO_LARGE(bytes));
		let_send(&one, 3);
		let_send(&other, 4);
		discard_first(inbox, bytes);
		let_send(&one, 5);
		long next = 3;
		for (int i = 0; i < 3; i++) {
			int fd = recv_soon(inbox, NULL);
			long number = memfd_number(fd);
			close(fd);
			if (number != 4) {
				CHECK_EQ(number, next); /* what one sender has sent stays in order */
				next += 2;
			}
		}
		expect_empty(inbox);
	}
	/* One that never stops sending keeps nobody waiting for long. Where only one parcel was there before, one at
	 * a time is taken for a while. */
	int most = 0;
	for (int round = 0; round < 40; round++) {
		let_send(&one, 6);
		let_send(&other, 7);
		for (int ahead = 0;; ahead++) {
			most = ahead > most ? ahead : most;
			int fd = recv_soon(inbox, NULL);
			long number = memfd_number(fd);
			close(fd);
			if (number == 7)
				break;
			CHECK_EQ(number, 6);
			CHECK(ahead < IN_A_ROW, "%d parcels of another came first", ahead);
			let_send(&one, 6);
		}
		expect_number(inbox, 6);
		expect_empty(inbox);
	}
	CHECK(most > IN_A_ROW / 2, "%d", most);
	let_end(&one);
	let_end(&other);
	sendfd_inbox_close(inbox);
}

/* Their signals had no room in the queue. A loop that sleeps until there is a signal gets what is behind. */
TEST(mail_behind_what_is_discarded_is_announced)
{
	target = getpid();
	sigset_t set = set_of(S, SIGIO, 0);
	for (int bytes = 0; bytes <= 90; bytes += 30) {
		sendfd_inbox *inbox = open_inbox(S, 0);
		struct child one = fork_child(sends_when_told, NULL);
		struct rlimit limit;
		let_send(&one, 1);
		expect_number(inbox, 1);
		CHECK(getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
		set_limit(RLIMIT_SIGPENDING, 0);
		let_send(&one, TOO_LARGE(bytes));
		let_send(&one, 2);
		set_limit(RLIMIT_SIGPENDING, limit.rlim_cur);
		int fd = -EAGAIN;
		for (int waits = 0; fd < 0; waits++) {
			siginfo_t si;
			sendfd_info info;
			CHECK(waits < 10 && sigtimedwait(&set, &si, &NOW) > 0, "asleep");
			fd = sendfd_claim(inbox, &si, &info);
			CHECK(fd >= 0 || fd == -EMSGSIZE || fd == -EAGAIN, "%s", errno_name(-fd));
			if (fd == -EMSGSIZE)
				CHECK_OK(sendfd_discard(inbox, &info));
		}
		take_number(fd, 2);
		let_end(&one);
		sendfd_inbox_close(inbox);
	}
}
