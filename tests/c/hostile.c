/* Peers that go around the library: other users, liars, floods of connections and of signals. */
#include "named.h"

static void still_works(sendfd_inbox *inbox)
{
	send_memfd(getpid(), 77);
	expect_number(inbox, 77);
	expect_empty(inbox);
}

/* --- another user ------------------------------------------------------------------------------ */
static void intruder(void *arg)
{
	int fd = *(int *)arg;
	become(lonely_uid());
	CHECK_ERR(sendfd(target, S, fd), EPERM);
	int link = raw_connect(name); /* nothing can stop that */
	CHECK(link >= 0, "%s", errno_name(-link));
	struct wire wire = WIRE(1, 0);
	int result = raw_send(link, &wire, sizeof wire, &fd, 1);
	CHECK(result == 0 || result == -EPIPE, "%s", errno_name(-result));
	close(fd);
	parent_tell(0);
	parent_hear();
	/* shut out: the link is at its end */
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP));
	result = raw_send(link, &wire, sizeof wire, NULL, 0);
	CHECK(result == -EPIPE || result == -ECONNRESET, "%s", errno_name(-result));
}

TEST_NEEDS(another_user_is_shut_out, ROOT)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct witness w = make_witness();
		struct child child = fork_child(intruder, &w.sent);
		close(w.sent);
		child_hear(&child);
		int fds = count_fds(), lowest = lowest_free();
		expect_empty(inbox);
		CHECK(witness_released(w.end, 5000)); /* and never entered our table: */
		CHECK_EQ(lowest_free(), lowest);
		CHECK_EQ(count_fds(), fds);
		child_tell(&child, 0);
		child_join(&child);
		close(w.end);
		still_works(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void plain_receiver(void *arg)
{
	(void)arg;
	become(lonely_uid());
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* Two plain users: neither real nor saved uid is enough when it is the wrong one. */
TEST_NEEDS(one_plain_user_to_another, ROOT)
{
	struct child receiver = fork_child(plain_receiver, NULL);
	child_hear(&receiver);
	target = receiver.pid;
	inbox_name(target, S, name, sizeof name);
	struct witness w = make_witness();
	struct child child = fork_child(intruder, &w.sent);
	close(w.sent);
	child_hear(&child);
	child_tell(&receiver, 0);
	child_join(&receiver);
	CHECK(witness_released(w.end, 5000));
	child_tell(&child, 0);
	child_join(&child);
	close(w.end);
}

#define CROWD 200

static void crowd(void *arg)
{
	(void)arg;
	become(lonely_uid());
	int result;
	for (long n = 0; n < CROWD; n++) {
		result = raw_connect(name);
		CHECK(result >= 0 || result == -EAGAIN, "%s", errno_name(-result));
		struct wire wire = WIRE(1, 0);
		if (result >= 0)
			raw_send(result, &wire, sizeof wire, (int[]){2}, 1);
	}
	parent_tell(0);
	parent_hear();
}

TEST_NEEDS(a_crowd_of_strangers_keeps_nobody_out, ROOT)
{
	need_backlog(CROWD + 1, 0);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct child child = fork_child(crowd, NULL);
		child_hear(&child);
		int fds = count_fds();
		still_works(inbox);
		CHECK(count_fds() <= fds + 2, "links of strangers are kept");
		child_tell(&child, 0);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

/* --- liars of our own user --------------------------------------------------------------------- */
struct lie {
	const char *what;
	struct wire wire;
	size_t len; /* bytes sent, from the header on */
	size_t nfds;
};

static const struct lie LIES[] = {
	{"another magic", {{'x', 'n', 'd', 'f'}, 1, 1, 0, 0}, 16, 1},
	{"nothing at all", WIRE(1, 0), 0, 1},
	{"nothing, no descriptor", WIRE(1, 0), 0, 0},
	{"one byte", WIRE(1, 0), 1, 1},
	{"half a header", WIRE(1, 0), 15, 1},
	{"no descriptor where one is said", WIRE(1, 0), 16, 0},
	{"fewer descriptors than said", WIRE(9, 0), 16, 8},
	{"more descriptors than said", WIRE(1, 0), 16, 2},
	{"none said, one there", WIRE(0, 0), 16, 1},
	{"253 descriptors", WIRE(253, 0), 16, 253},
	{"65535 descriptors said", WIRE(65535, 0), 16, 1},
	{"a place for an answer said, none there", WIRE_REPLY(1, 0), 16, 1},
	{"a place for an answer said that cannot be one", WIRE_REPLY(0, 0), 16, 1},
	{"a place for an answer, and a descriptor too many", WIRE_REPLY(0, 0), 16, 2},
	{"an unknown flag", {{'s', 'n', 'd', 'f'}, 1, 1, 0, 2}, 16, 1},
	{"an unknown flag beside a known one", {{'s', 'n', 'd', 'f'}, 1, 0, 0, 3}, 16, 1},
	{"the highest flag", {{'s', 'n', 'd', 'f'}, 1, 1, 0, 1u << 31}, 16, 1},
	{"fewer bytes than said", WIRE(1, 100), 16 + 99, 1},
	{"more bytes than said", WIRE(1, 100), 16 + 101, 1},
	{"4 GB said", WIRE(1, 0xffffffff), 16, 1},
	{"a byte more than allowed", WIRE(1, SENDFD_MAX_DATA + 1), 16 + SENDFD_MAX_DATA + 1, 1},
	{"sum wraps around", WIRE(1, 0xfffffff0), 16, 1},
};

static void tell_lie(const struct lie *lie, int fd)
{
	static char bytes[sizeof(struct wire) + SENDFD_MAX_DATA + 1];
	int fds[253], link = raw_connect(name);
	CHECK(link >= 0);
	for (int i = 0; i < 253; i++)
		fds[i] = fd;
	memcpy(bytes, &lie->wire, sizeof lie->wire);
	CHECK_EQ(raw_send(link, bytes, lie->len, fds, lie->nfds), 0);
	CHECK_EQ(raw_send(link, bytes, lie->len, fds, lie->nfds), 0);
	parent_tell(0);
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP), "its link is not closed: %s", lie->what);
}

static int lie_fd;
static void liar(void *arg) { tell_lie(arg, lie_fd); }

TEST(liars_are_shut_out)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
			struct witness w = make_witness();
			lie_fd = w.sent;
			struct child child = fork_child(liar, (void *)&LIES[i]);
			close(w.sent);
			child_hear(&child);
			int fds = count_fds(), lowest = lowest_free();
			int result = sendfd_recv(inbox, NULL, &NOW);
			CHECK(result == -EAGAIN, "%s: %d %s", LIES[i].what, result, errno_name(-result));
			CHECK(count_fds() == fds && lowest_free() == lowest, "%s", LIES[i].what);
			child_tell(&child, 0);
			child_join(&child);
			CHECK(witness_released(w.end, 5000), "%s", LIES[i].what);
			close(w.end);
			still_works(inbox);
		}
		sendfd_inbox_close(inbox);
	}
}

/* A liar in front of the queue does not end a call that waits for honest mail. */
TEST(a_call_goes_on_past_a_liar)
{
	sendfd_inbox *inbox = open_named(0);
	for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
		lie_fd = 2;
		struct child child = fork_child(liar, (void *)&LIES[i]);
		child_hear(&child);
		send_memfd(getpid(), 5);
		take_number(CHECK_OK(sendfd_recv(inbox, NULL, NULL)), 5);
		expect_empty(inbox);
		child_tell(&child, 0);
		child_join(&child);
	}
	sendfd_inbox_close(inbox);
}

TEST(eproto_for_another_version)
{
	struct lie other = {"version 2", {{'s', 'n', 'd', 'f'}, 2, 1, 0, 0}, 16, 1};
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct witness w = make_witness();
		lie_fd = w.sent;
		struct child child = fork_child(liar, &other);
		close(w.sent);
		child_hear(&child);
		CHECK_ERR(sendfd_recv(inbox, NULL, NULL), EPROTO); /* once */
		expect_empty(inbox);
		child_tell(&child, 0);
		child_join(&child);
		CHECK(witness_released(w.end, 5000));
		close(w.end);
		still_works(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- signals that nobody sent a parcel with ----------------------------------------------------- */
#define FORGED 200 /* of each kind */

static void forges_signals(void *arg)
{
	(void)arg;
	for (int i = 0; i < FORGED; i++) {
		siginfo_t si = {.si_signo = S, .si_code = SI_QUEUE};
		si.si_value.sival_int = i;
		CHECK(sigqueue(target, S, si.si_value) == 0);
		CHECK(kill(target, S) == 0 && kill(target, SIGIO) == 0);
		CHECK(syscall(SYS_tgkill, target, target, S) == 0);
		CHECK(syscall(SYS_rt_tgsigqueueinfo, target, target, S, &si) == 0);
	}
	/* our own socket, armed to signal the receiver with a number of our choice */
	int pair[2];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	struct f_owner_ex owner = {F_OWNER_TID, target};
	int low = fcntl(pair[0], F_DUPFD, 5);
	CHECK(fcntl(low, F_SETOWN_EX, &owner) == 0 && fcntl(low, F_SETSIG, S) == 0 &&
	      fcntl(low, F_SETFL, O_ASYNC) == 0);
	for (int i = 0; i < FORGED; i++)
		CHECK(send(pair[1], "x", 1, MSG_DONTWAIT) == 1);
}

TEST(forged_signals_announce_nothing)
{
	need_signals(5 * FORGED);
	sendfd_inbox *inbox = open_named(0);
	for (int claim = 0; claim < 2; claim++) {
		struct child child = fork_child(forges_signals, NULL);
		child_join(&child);
		int fd = make_memfd(3);
		CHECK_OK(sendfd(getpid(), S, fd));
		close(fd);
		sigset_t set = set_of(S, SIGIO, 0);
		int parcels = 0;
		siginfo_t si;
		while (claim && sigtimedwait(&set, &si, &NOW) > 0) {
			fd = sendfd_claim(inbox, &si, NULL);
			CHECK(fd >= 0 || fd == -EAGAIN, "%s", errno_name(-fd));
			if (fd >= 0) {
				take_number(fd, 3);
				parcels++;
			}
		}
		if (claim)
			CHECK_EQ(parcels, 1);
		else
			expect_number(inbox, 3);
		for (unsigned tries = 0; tries == 0 || (tries < slower() && pending(S)); tries++)
			expect_empty(inbox);
		CHECK(!pending(S), "all of them are used up");
	}
	sendfd_inbox_close(inbox);
}

/* A flood of forged signals does not make a call forget its deadline. */
static void forges_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		kill(target, S);
}

TEST(a_flood_of_signals_does_not_stop_the_clock)
{
	sendfd_inbox *inbox = open_named(0);
	struct child child = fork_child(forges_for_ever, NULL);
	for (int i = 0; i < 10; i++) {
		struct timespec limit = in_ms(50);
		long start = now_ms();
		CHECK_ERR(sendfd_recv(inbox, NULL, &limit), ETIMEDOUT);
		CHECK(now_ms() - start < 1000 * (long)slower(), "%ld ms", now_ms() - start);
	}
	child_kill(&child);
	still_works(inbox);
	sendfd_inbox_close(inbox);
}
