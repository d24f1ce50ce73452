/* A parcel that cannot be taken stays where it is and holds up nobody else: it is too large for the call or the table. */
#include "harness.h"

/* --- one that is too large ------------------------------------------------------------------------- */
enum way { RECV, CLAIM };

/* The next parcel of one descriptor, by a loop that never sleeps on mail. */
static int next_one(enum way way, sendfd_inbox *inbox, sendfd_info *info)
{
	sigset_t set = set_of(S, SIGIO, 0);
	int fd = -EAGAIN;
	if (way == RECV) {
		struct timespec limit = in_ms(5000 * (long)slower());
		return sendfd_recv(inbox, info, &limit);
	}
	while (fd == -EAGAIN) {
		siginfo_t si;
		struct timespec limit = in_ms(5000 * (long)slower());
		CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep");
		fd = sendfd_claim(inbox, &si, info);
	}
	return fd;
}

static void too_large(enum way way, unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
	sendfd_info info = {.nfds = 7};
	let_send(&two, 1);
	take_number(next_one(way, inbox, NULL), 1);
	let_send(&one, SO_MANY(2));
	let_send(&one, 99);
	for (long n = 2; n < 12; n++)
		let_send(&two, n);

	int reported = 0; /* signals tell the order across senders */
	for (long n = 2; n < 12;) {
		int fd = next_one(way, inbox, &info);
		if (fd >= 0) {
			take_number(fd, n++);
			CHECK(reported || flags);
		} else {
			CHECK(fd == -EMSGSIZE && info.nfds == 2 && info.pid == one.pid, "%s", errno_name(-fd));
			CHECK(++reported == 1);
		}
	}
	for (long n = 12; n < 20; n++) { /* they come back to it when nothing else is there */
		info.nfds = 7;
		CHECK_ERR(next_one(way, inbox, &info), EMSGSIZE);
		CHECK(info.nfds == 2 && info.pid == one.pid);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		let_send(&two, n);
		take_number(next_one(way, inbox, NULL), n);
	}
	int fds[2];
	CHECK_EQ(sendfd_recvs(inbox, fds, 2, NULL, 0, &info, &NOW), 2);
	CHECK_EQ(info.pid, one.pid);
	take_number(fds[0], -2);
	take_number(fds[1], -2);
	take_number(next_one(way, inbox, NULL), 99); /* it was the first of its sender */
	let_end(&one);
	let_end(&two);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(too_large_for_recv) { too_large(RECV, 0); }
TEST(too_large_for_recv_quiet) { too_large(RECV, SENDFD_INBOX_NOSIGNAL); }
TEST(too_large_for_claim) { too_large(CLAIM, 0); }

/* Who was told of a parcel's size makes room, and gets that very parcel; and what came in what order is taken
 * in this order. */
TEST(a_parcel_that_now_fits_comes_first)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
		for (int round = 0; round < 3; round++) {
			let_send(&one, 1); /* both are known from now on */
			let_send(&two, 2);
			close(recv_soon(inbox, NULL));
			close(recv_soon(inbox, NULL));
			expect_empty(inbox); /* without signals it would go on with the link of the last one */
			let_send(&one, SO_MANY(5));
			let_send(&one, 3);
			let_send(&two, 4);
			let_send(&one, 5);
			sendfd_info info;
			int fds[8];
			CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, &info, &NOW), EMSGSIZE);
			CHECK_EQ(info.nfds, 5);
			CHECK_EQ(sendfd_recvs(inbox, fds, info.nfds, NULL, 0, NULL, &NOW), 5);
			for (int i = 0; i < 5; i++)
				take_number(fds[i], -5);
			if (!flags) /* signals tell the order across senders */
				for (long n = 3; n <= 5; n++)
					expect_number(inbox, n);
			else
				for (int i = 0; i < 3; i++)
					close(recv_soon(inbox, NULL));
		}
		let_end(&one);
		let_end(&two);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* More of them than one look at the sockets shows. */
TEST(hundreds_that_are_too_large)
{
	enum { MANY_LINKS = 200 };
	char name[64];
	int links[MANY_LINKS], fds[2] = {2, 2};
	need_backlog(MANY_LINKS, 0);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		inbox_name(getpid(), S, name, sizeof name);
		for (int i = 0; i < MANY_LINKS; i++) {
			links[i] = CHECK_OK(raw_connect(name));
			CHECK_OK(raw_send(links[i], &WIRE(2, 0), sizeof(struct wire), fds, 2));
		}
		for (int i = 0; i < MANY_LINKS; i++)
			CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
		struct child sender = fork_child(sends_what_it_hears, NULL);
		for (long n = 1; n < 20; n++) {
			let_send(&sender, n);
			expect_number(inbox, n); /* and not one of the others */
			CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
		}
		let_end(&sender);
		for (int i = 0; i < MANY_LINKS; i++) {
			CHECK_EQ(sendfd_recvs(inbox, fds, 2, NULL, 0, NULL, &NOW), 2);
			close(fds[0]);
			close(fds[1]);
			fds[0] = fds[1] = 2;
		}
		for (int i = 0; i < MANY_LINKS; i++)
			close(links[i]);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- one for which there is no room in the table ---------------------------------------------------- */
TEST(larger_than_the_table)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
		struct rlimit before;
		CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
		sendfd_inbox *inbox = open_inbox(S, flags);
		let_send(&one, SO_MANY(100));
		let_send(&one, 99);
		for (long n = 1; n < 20; n++)
			let_send(&two, n);
		set_limit(RLIMIT_NOFILE, 64);
		int fds[100], seen = 0, open = 0;
		for (long n = 1; n < 20;) { /* at the first contact, the order of the senders is theirs */
			sendfd_info info = {.nfds = 7};
			int result = sendfd_recvs(inbox, fds, 100, NULL, 0, &info, &NOW);
			if (result == 1) {
				take_number(fds[0], n++);
			} else {
				CHECK(result == -EMFILE, "%s", errno_name(-result));
				CHECK(info.nfds == 100 && info.pid == one.pid);
				CHECK(++seen < 5);
			}
			if (!open)
				open = count_fds();
		}
		CHECK(count_fds() <= open + 1, "a link at most");
		for (int i = 0; i < 5; i++)
			CHECK_ERR(sendfd_recvs(inbox, fds, 100, NULL, 0, NULL, &NOW), EMFILE);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		set_limit(RLIMIT_NOFILE, before.rlim_cur);
		CHECK_EQ(sendfd_recvs(inbox, fds, 100, NULL, 0, NULL, &NOW), 100);
		for (int i = 0; i < 100; i++)
			take_number(fds[i], -100);
		expect_number(inbox, 99);
		let_end(&one);
		let_end(&two);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- what it costs -------------------------------------------------------------------------------------- */
static long resident_kib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	CHECK(file && fscanf(file, "%*d %ld", &pages) == 1);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Signals that speak of its connection are noted for later, but no more of them than there are parcels. */
TEST(made_up_signals_about_a_kept_parcel_take_no_memory)
{
	char name[64];
	int two[2] = {2, 2};
	sigset_t set = set_of(S, SIGIO, 0);
	siginfo_t si;
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
	int link = CHECK_OK(raw_connect(name));
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN); /* it is accepted, and signals from now on */
	while (pending(S))
		CHECK(sigtimedwait(&set, &si, &NOW) > 0);
	CHECK_OK(raw_send(link, &WIRE(2, 0), sizeof(struct wire), two, 2));
	CHECK(sigtimedwait(&set, &si, &NOW) > 0 && si.si_code == POLL_IN);
	CHECK_ERR(sendfd_claim(inbox, &si, NULL), EMSGSIZE);
	long before = resident_kib();
	for (int i = 0; i < 500000; i++)
		CHECK_ERR(sendfd_claim(inbox, &si, NULL), EAGAIN);
	CHECK(resident_kib() - before < 512, "%ld KiB", resident_kib() - before);
	int fds[2];
	CHECK_EQ(sendfd_recvs(inbox, fds, 2, NULL, 0, NULL, &NOW), 2);
	close(fds[0]);
	close(fds[1]);
	close(link);
	sendfd_inbox_close(inbox);
}
