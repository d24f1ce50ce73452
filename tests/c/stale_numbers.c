/* Numbers that the program closed behind the library's back, and what has come to stand under them. */
#include "harness.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define MOST 4096
static pid_t target;

/* --- which numbers are the library's ------------------------------------------------------------ */
static bool seen[MOST];

static void note_numbers(void)
{
	for (int fd = 0; fd < MOST; fd++)
		seen[fd] = is_open(fd);
}

/* Those that are open now and were not then. */
static int new_numbers(int *ret_numbers, int room)
{
	int count = 0;
	for (int fd = 0; fd < MOST; fd++)
		if (!seen[fd] && is_open(fd)) {
			CHECK(count < room);
			ret_numbers[count++] = fd;
		}
	return count;
}

static int link_to(pid_t pid, long number)
{
	int link, fd = make_memfd(number);
	note_numbers();
	CHECK_OK(sendfd(pid, S, fd));
	CHECK_EQ(new_numbers(&link, 1), 1);
	close(fd);
	return link;
}

/* A receiver that says the number of each parcel that comes. */
static void receives(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	for (;;) {
		int fd = recv_soon(inbox, NULL);
		long number = memfd_number(fd);
		close(fd);
		parent_tell(number);
		if (number == 0)
			break;
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static struct child receiver(void)
{
	struct child child = fork_child(receives, NULL);
	child_hear(&child);
	return child;
}

static void finish(struct child *receiver)
{
	send_memfd(receiver->pid, 0);
	CHECK_EQ(child_hear(receiver), 0);
	child_join(receiver);
}

/* --- the library's own later descriptors ---------------------------------------------------------- */
TEST(a_link_under_the_number_of_another)
{
	struct child one = receiver(), other = receiver();
	int link = link_to(one.pid, 1);
	CHECK_EQ(child_hear(&one), 1);
	CHECK(close(link) == 0);
	CHECK_EQ(link_to(other.pid, 2), link);
	CHECK_EQ(child_hear(&other), 2);
	send_memfd(one.pid, 3);
	send_memfd(other.pid, 4);
	CHECK_EQ(child_hear(&one), 3);
	CHECK_EQ(child_hear(&other), 4);
	finish(&one);
	finish(&other);
}

static void sends_once(void *arg)
{
	send_memfd(target, *(long *)arg);
	parent_hear();
}

/* The connection of another sender, which this process has accepted. */
TEST(an_accepted_link_under_the_number_of_another)
{
	struct child one = receiver();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	int link = link_to(one.pid, 1);
	long number = 2;
	CHECK_EQ(child_hear(&one), 1);
	CHECK(close(link) == 0);
	struct child sender = fork_child(sends_once, &number);
	note_numbers();
	int got = recv_soon(inbox, NULL), numbers[2];
	CHECK_EQ(new_numbers(numbers, 2), 2);
	CHECK(numbers[0] == link || numbers[1] == link);
	take_number(got, 2);
	send_memfd(one.pid, 3);
	CHECK_EQ(child_hear(&one), 3);
	child_tell(&sender, 0);
	child_join(&sender);
	sendfd_inbox_close(inbox);
	finish(&one);
}

TEST(an_inbox_under_the_number_of_a_link)
{
	struct child one = receiver();
	int link = link_to(one.pid, 1), numbers[8];
	CHECK_EQ(child_hear(&one), 1);
	CHECK(close(link) == 0);
	note_numbers();
	sendfd_inbox *inbox = open_inbox(S, 0);
	int count = new_numbers(numbers, 8);
	bool reused = false;
	for (int i = 0; i < count; i++)
		reused |= numbers[i] == link;
	CHECK(reused);
	send_memfd(one.pid, 2);
	CHECK_EQ(child_hear(&one), 2);
	for (int i = 0; i < count; i++)
		CHECK(is_open(numbers[i]));
	send_memfd(getpid(), 3);
	expect_number(inbox, 3);
	forget_dead_links();
	send_memfd(getpid(), 4);
	expect_number(inbox, 4);
	sendfd_inbox_close(inbox);
	finish(&one);
}

/* --- the program's own --------------------------------------------------------------------------- */
/* A connected pair of some sort: what is put in the place of the link, and the other end. */
struct pair {
	const char *name;
	int mine, other;
};

static struct pair pair_of(const char *name, int domain, int type)
{
	struct pair pair = {name, -1, -1};
	if (domain == AF_UNIX) {
		int p[2];
		CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p) == 0);
		pair.mine = p[0];
		pair.other = p[1];
		return pair;
	}
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int bound = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	CHECK(bound >= 0 && bind(bound, (void *)&address, len) == 0);
	CHECK(getsockname(bound, (void *)&address, &len) == 0);
	CHECK(type == SOCK_DGRAM || listen(bound, 1) == 0);
	pair.mine = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	CHECK(pair.mine >= 0 && connect(pair.mine, (void *)&address, len) == 0);
	pair.other = bound;
	if (type == SOCK_STREAM) {
		pair.other = accept(bound, NULL, NULL);
		close(bound);
	}
	CHECK(pair.other >= 0);
	return pair;
}

static void stays_as_it_was(const char *name, int mine, int other)
{
	char byte = 0, nothing;
	CHECK(recv(other, &nothing, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "%s got something", name);
	CHECK(send(mine, "x", 1, 0) == 1, "%s", name);
	CHECK(recv(other, &byte, 1, 0) == 1 && byte == 'x', "%s", name);
}

static void put_in_the_place(struct pair pair, bool at_once)
{
	struct child one = receiver();
	int link = link_to(one.pid, 1);
	CHECK_EQ(child_hear(&one), 1);
	CHECK(dup3(pair.mine, link, O_CLOEXEC) == link);
	if (!at_once) /* past the time for which a link is used unseen */
		poll(NULL, 0, 250);
	for (int i = 2; i < 6; i++) {
		send_memfd(one.pid, i);
		CHECK_EQ(child_hear(&one), i);
		stays_as_it_was(pair.name, link, pair.other);
	}
	forget_dead_links();
	poll(NULL, 0, 250);
	send_memfd(one.pid, 6);
	CHECK_EQ(child_hear(&one), 6);
	stays_as_it_was(pair.name, link, pair.other);
	finish(&one);
	forget_dead_links();
	stays_as_it_was(pair.name, link, pair.other);
	close(link);
	close(pair.mine);
	close(pair.other);
}

TEST(a_connection_of_the_program_in_the_place_of_a_link)
{
	put_in_the_place(pair_of("TCP", AF_INET, SOCK_STREAM), true);
	put_in_the_place(pair_of("UDP", AF_INET, SOCK_DGRAM), true);
	put_in_the_place(pair_of("stream", AF_UNIX, SOCK_STREAM), true);
	put_in_the_place(pair_of("datagrams", AF_UNIX, SOCK_DGRAM), true);
}

TEST(a_connection_of_the_program_in_the_place_of_an_idle_link)
{
	put_in_the_place(pair_of("TCP", AF_INET, SOCK_STREAM), false);
	put_in_the_place(pair_of("stream", AF_UNIX, SOCK_STREAM), false);
	put_in_the_place(pair_of("packets", AF_UNIX, SOCK_SEQPACKET), false);
}

/* Such a one takes a parcel that is sent in a tenth of a second after the last: it alone, and not one later. */
TEST(packets_of_the_program_in_the_place_of_a_link)
{
	struct pair pair = pair_of("packets", AF_UNIX, SOCK_SEQPACKET);
	struct child one = receiver();
	int link = link_to(one.pid, 1), astray = 0;
	CHECK_EQ(child_hear(&one), 1);
	CHECK(dup3(pair.mine, link, O_CLOEXEC) == link);
	send_memfd(one.pid, 2);
	poll(NULL, 0, 250);
	send_memfd(one.pid, 3);
	long number = child_hear(&one);
	CHECK(number == 3 || (number == 2 && child_hear(&one) == 3));
	for (char bytes[64]; recv(pair.other, bytes, sizeof bytes, MSG_DONTWAIT) > 0;)
		astray++;
	CHECK_EQ(astray, number == 3);
	stays_as_it_was(pair.name, link, pair.other);
	finish(&one);
	forget_dead_links();
	stays_as_it_was(pair.name, link, pair.other);
	close(link);
	close(pair.mine);
	close(pair.other);
}

TEST(what_is_no_socket_in_the_place_of_a_link)
{
	int files[] = {make_memfd(77), eventfd(0, EFD_CLOEXEC), epoll_create1(EPOLL_CLOEXEC)};
	for (int i = 0; i < 3; i++) {
		struct child one = receiver();
		int link = link_to(one.pid, 1);
		CHECK_EQ(child_hear(&one), 1);
		CHECK(dup3(files[i], link, O_CLOEXEC) == link);
		send_memfd(one.pid, 2);
		CHECK_EQ(child_hear(&one), 2);
		finish(&one);
		forget_dead_links();
		CHECK(is_open(link));
		close(link);
		close(files[i]);
	}
}

/* One link, kept under the pid and under a pidfd. */
TEST_NEEDS(a_link_that_is_known_by_pid_and_pidfd, PIDFD)
{
	struct child one = receiver();
	int pidfd = my_pidfd_open(one.pid), file = make_memfd(7);
	int link = link_to(one.pid, 1);
	CHECK_EQ(child_hear(&one), 1);
	CHECK_OK(sendfd_pidfd(pidfd, S, file));
	CHECK_EQ(child_hear(&one), 7);
	CHECK(dup3(file, link, O_CLOEXEC) == link);
	CHECK_OK(sendfd_pidfd(pidfd, S, file));
	CHECK_EQ(child_hear(&one), 7);
	send_memfd(one.pid, 3);
	CHECK_EQ(child_hear(&one), 3);
	CHECK_OK(sendfd_pidfd(pidfd, S, file));
	CHECK_EQ(child_hear(&one), 7);
	finish(&one);
	forget_dead_links();
	CHECK(memfd_number(link) == 7);
	close(link);
	close(file);
	close(pidfd);
}

/* --- inboxes -------------------------------------------------------------------------------------- */
static void close_from(int lowest)
{
	for (int fd = lowest; fd < MOST; fd++)
		close(fd);
}

/* After the program has closed everything and begun anew, the close of an inbox closes nothing of it. */
static void begin_anew(unsigned flags, bool connected)
{
	int numbers[8], lowest = lowest_free();
	target = getpid();
	note_numbers();
	sendfd_inbox *inbox = open_inbox(S, flags);
	if (connected) {
		send_memfd(getpid(), 1);
		expect_number(inbox, 1);
	}
	int count = new_numbers(numbers, 8);
	CHECK(count >= 3);
	close_from(lowest);
	for (int i = 0; i < count; i++) {
		struct pair pair = {0};
		int fd = i == 0 ? epoll_create1(EPOLL_CLOEXEC) : i == 1 ? eventfd(0, EFD_CLOEXEC) : -1;
		if (fd < 0) {
			pair = pair_of("stream", AF_UNIX, SOCK_STREAM);
			fd = pair.mine;
			close(pair.other);
		}
		if (fd != numbers[i]) {
			CHECK(dup3(fd, numbers[i], O_CLOEXEC) == numbers[i]);
			close(fd);
		}
	}
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < count; i++)
			CHECK(is_open(numbers[i]), "%d of %d in the child", i, count);
		_exit(0);
	}
	CHECK(exited_well(pid));
	sendfd_inbox_close(inbox);
	forget_dead_links();
	for (int i = 0; i < count; i++)
		CHECK(is_open(numbers[i]), "%d of %d", i, count);
	CHECK(fcntl(numbers[count - 1], F_GETFL) == O_RDWR, "changed");
	close_from(lowest);
}

static void begins_anew(void *arg)
{
	begin_anew(*(unsigned *)arg & ~4u, *(unsigned *)arg & 4);
}

TEST(an_inbox_of_which_everything_was_closed)
{
	for (unsigned flags = 0; flags < 8; flags++) {
		struct child child = fork_child(begins_anew, &flags);
		child_join(&child);
	}
}

/* A child of a raw clone that closes everything, as those do who start containers, and begins anew. */
TEST(a_raw_clone_that_begins_anew)
{
	need_limit(RLIMIT_NOFILE, MOST);
	int numbers[8], lowest = lowest_free();
	note_numbers();
	sendfd_inbox *inbox = open_inbox(S, 0);
	send_memfd(getpid(), 1);
	expect_number(inbox, 1);
	int count = new_numbers(numbers, 8);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(15);
		close_from(lowest);
		int member = fcntl(eventfd(0, EFD_CLOEXEC), F_DUPFD_CLOEXEC, 3000);
		struct epoll_event event = {.events = EPOLLIN};
		for (int i = 0; i < count; i++) {
			int fd = i ? make_memfd(100 + i) : epoll_create1(EPOLL_CLOEXEC);
			CHECK(i || epoll_ctl(fd, EPOLL_CTL_ADD, member, &event) == 0);
			if (fd != numbers[i]) {
				CHECK(dup3(fd, numbers[i], O_CLOEXEC) == numbers[i]);
				close(fd);
			}
		}
		sendfd_inbox *own = open_inbox(S, 0);
		send_memfd(getpid(), 2);
		expect_number(own, 2);
		CHECK_ERR(sendfd_recv(inbox, NULL, NULL), EPERM);
		CHECK(epoll_ctl(numbers[0], EPOLL_CTL_MOD, member, &event) == 0, "the epoll set");
		for (int i = 1; i < count; i++)
			CHECK_EQ(memfd_number(numbers[i]), 100 + i);
		_exit(0);
	}
	CHECK(exited_well(pid));
	send_memfd(getpid(), 3);
	expect_number(inbox, 3);
	sendfd_inbox_close(inbox);
}

/* --- numbers that are handed out -------------------------------------------------------------------------- */
/* Nobody waits for what the number has come to mean. */
TEST(no_number_of_something_else_is_handed_out)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox;
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	int set = CHECK_OK(sendfd_inbox_fileno(inbox)), link = CHECK_OK(sendfd_outbox_fileno(outbox));
	int set_copy = dup(set), link_copy = dup(link);
	for (int again = 0; again < 2; again++) {
		if (again)
			CHECK(dup2(2, set) == set && dup2(2, link) == link);
		else
			CHECK(close(set) == 0 && close(link) == 0);
		CHECK_ERR(sendfd_inbox_fileno(inbox), EBADF);
		CHECK_ERR(sendfd_outbox_fileno(outbox), EBADF);
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EBADF); /* EINVAL: what epoll_wait() says of another file */
	}
	CHECK(dup2(set_copy, set) == set && dup2(link_copy, link) == link);
	CHECK(sendfd_inbox_fileno(inbox) == set && sendfd_outbox_fileno(outbox) == link);
	close(set_copy);
	close(link_copy);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}
