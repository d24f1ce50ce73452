/* What an inbox makes of what its epoll set shows, and of one that refuses. */
#include "named.h"

#include <sys/epoll.h>

#define FILLERS 200 /* one look shows 64 */

/* In place of the C library's: as if the limit on watches were reached. */
static bool refuses;
static int refused_one; /* the only one, counted from now */

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && (refuses || (refused_one > 0 && --refused_one == 0))) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, set, op, fd, event);
}

static int wait_error; /* 0: none */

int epoll_wait(int set, struct epoll_event *events, int most, int timeout)
{
	if (wait_error) {
		errno = wait_error;
		return -1;
	}
	return (int)syscall(SYS_epoll_pwait, set, events, most, timeout, NULL, 0);
}

/* --- something is readable, and no mail ----------------------------------------------------------- */
/* The descriptor is a set that its user can add to. */
TEST(a_set_that_is_never_quiet_does_not_stop_the_clock)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct witness pair = make_witness();
		struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 1u << 20};
		CHECK(epoll_ctl(sendfd_inbox_fileno(inbox), EPOLL_CTL_ADD, pair.sent, &event) == 0);
		struct timespec limit = in_ms(50);
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		CHECK_TIMES_OUT(sendfd_recv(inbox, NULL, &limit), 50);
		send_memfd(getpid(), 1);
		expect_number(inbox, 1);
		close(pair.sent);
		close(pair.end);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- more is readable than one look shows --------------------------------------------------------- */
static void send_text(int link, uint32_t number)
{
	struct {
		struct wire wire;
		uint32_t number;
	} message = {WIRE(1, 4), number};
	CHECK_EQ(raw_send(link, &message, sizeof message, (int[]){2}, 1), 0);
}

enum { EARLIER = FILLERS, LATER, NEWCOMER };

/* Behind a connection that waits: many links that are ready, then one link of a sender, and then
 * another connection of the same one. */
static void sends_over_two_links(void *arg)
{
	static int links[FILLERS + 1];
	(void)arg;
	for (uint32_t i = 0; i <= FILLERS; i++) {
		links[i] = raw_connect(name);
		CHECK(links[i] >= 0, "%s", errno_name(-links[i]));
		send_text(links[i], i);
		parent_tell(0);
		parent_hear(); /* it is accepted */
	}
	int newcomer = raw_connect(name);
	CHECK(newcomer >= 0);
	for (uint32_t i = 1; i <= FILLERS; i++)
		send_text(links[i], i - 1);
	send_text(links[0], EARLIER);
	int second = raw_connect(name);
	CHECK(second >= 0);
	send_text(second, LATER);
	send_text(newcomer, NEWCOMER);
	parent_tell(0);
	parent_hear();
}

static void keeps_order_of_links(unsigned flags)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child sender = fork_child(sends_over_two_links, NULL);
	struct timespec limit = in_ms(10000);
	uint32_t number, place[FILLERS + 3] = {0};
	int fd;
	for (int i = 0; i <= FILLERS; i++) {
		child_hear(&sender);
		CHECK_EQ(sendfd_recvs(inbox, &fd, 1, &number, sizeof number, NULL, &limit), 1);
		close(fd);
		child_tell(&sender, 0);
	}
	child_hear(&sender);
	for (uint32_t i = 1; i <= FILLERS + 3; i++) {
		CHECK_EQ(sendfd_recvs(inbox, &fd, 1, &number, sizeof number, NULL, &limit), 1);
		close(fd);
		CHECK(number <= NEWCOMER && !place[number]);
		place[number] = i;
	}
	CHECK(place[EARLIER] < place[LATER], "%u, then %u", place[LATER], place[EARLIER]);
	expect_empty(inbox);
	child_tell(&sender, 0);
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

TEST(order_behind_many_links_quiet) { keeps_order_of_links(SENDFD_INBOX_NOSIGNAL); }
TEST_NEEDS(order_behind_many_links_no_queue, ROOT)
{
	become(lonely_uid());
	set_limit(RLIMIT_SIGPENDING, 0);
	keeps_order_of_links(0);
}

/* --- it cannot be looked at ----------------------------------------------------------------------- */
TEST(a_wait_that_fails_is_told_of)
{
	struct timespec limit = in_ms(10000);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		wait_error = ENOMEM;
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), ENOMEM);
		CHECK_ERR(sendfd_recv(inbox, NULL, &limit), ENOMEM);
		wait_error = EINTR;
		CHECK_ERR(sendfd_recv(inbox, NULL, &limit), EINTR);
		wait_error = 0;
		send_memfd(getpid(), 1);
		expect_number(inbox, 1);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- it refuses a member -------------------------------------------------------------------------- */
static void sends_what_it_is_told(void *arg)
{
	(void)arg;
	for (long number; (number = parent_hear());) {
		send_memfd(target, number);
		parent_tell(0);
	}
}

static struct child new_sender(void) { return fork_child(sends_what_it_is_told, NULL); }

TEST(a_link_that_is_refused_is_kept)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child sender = new_sender();
		let_send(&sender, 1);
		let_send(&sender, 2);
		refuses = true;
		for (int i = 0; i < 3; i++) {
			struct timespec limit = in_ms(10000);
			CHECK_ERR(sendfd_recv(inbox, NULL, &limit), ENOSPC);
			CHECK(readable(sendfd_inbox_fileno(inbox)));
			CHECK((flags & SENDFD_INBOX_NOSIGNAL) || pending(S));
		}
		refuses = false;
		expect_number(inbox, 1);
		expect_number(inbox, 2);
		let_end(&sender);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

TEST(a_link_that_is_refused_holds_up_nobody)
{
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child first = new_sender(), second = new_sender(), third = new_sender();
		let_send(&first, 1);
		expect_number(inbox, 1);
		let_send(&first, 2);
		let_send(&second, 3);
		refuses = true;
		expect_number(inbox, 2);
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), ENOSPC);
		let_send(&first, 4);
		refuses = false;
		expect_number(inbox, 3);
		expect_number(inbox, 4);
		/* Where nobody had to wait for it, a refusal is not told of later. */
		let_send(&first, 5);
		let_send(&third, 6);
		refuses = true;
		expect_number(inbox, 5);
		refuses = false;
		expect_number(inbox, 6);
		expect_empty(inbox);
		let_end(&first);
		let_end(&second);
		let_end(&third);
		sendfd_inbox_close(inbox);
	}
}

/* It is shut down as others are, whoever else holds it. */
TEST(the_sender_over_a_link_that_is_refused_sees_the_end)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		sendfd_outbox *outbox;
		CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
		CHECK_OK(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &NOW));
		refuses = true;
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), ENOSPC);
		refuses = false;
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
		CHECK(pid >= 0);
		while (pid == 0)
			pause();
		sendfd_inbox_close(inbox);
		struct pollfd end = {sendfd_outbox_fileno(outbox), POLLIN, 0};
		CHECK(poll(&end, 1, 5000) == 1 && (end.revents & POLLHUP));
		CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
		sendfd_outbox_close(outbox);
	}
}

static int claim_next(sendfd_inbox *inbox)
{
	sigset_t set = set_of(S, SIGIO, 0);
	struct timespec limit = in_ms(10000);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &limit) > 0, "asleep");
	return sendfd_claim(inbox, &si, NULL);
}

TEST(a_claim_goes_on_once_a_link_is_refused_no_more)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child sender = new_sender();
	let_send(&sender, 1);
	let_send(&sender, 2);
	refuses = true;
	int taken = 0, refused = 0;
	while (taken < 2) {
		int fd = claim_next(inbox);
		if (fd >= 0)
			take_number(fd, ++taken);
		else if (fd == -ENOSPC)
			refuses = ++refused < 3;
		else
			CHECK_EQ(fd, -EAGAIN);
	}
	CHECK_EQ(refused, 3);
	let_end(&sender);
	sendfd_inbox_close(inbox);
}

TEST(an_inbox_that_is_refused_leaves_nothing)
{
	uint64_t mask = mask_now();
	target = getpid();
	for (unsigned flags = 0; flags < 4; flags++)
		for (int n = 1; n <= 2; n++) { /* the listener, and what is in reserve */
			sendfd_inbox *inbox = NULL;
			forget_dead_links();
			int before = count_fds();
			refused_one = n;
			CHECK_ERR(sendfd_inbox_open(S, flags, &inbox), ENOSPC);
			CHECK(!inbox);
			CHECK_EQ(count_fds(), before);
			CHECK(mask_now() == mask);
			CHECK_ERR(sendfd(target, S, 2), ECONNREFUSED);
		}
}
