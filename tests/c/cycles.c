/* Sending the mailbox's own descriptors, and that nothing leaks. */
#include "harness.h"

#include <dirent.h>
#include <sched.h>

static pid_t target;

/* Unix sockets of this network namespace; those of a cycle stay until the kernel collects them. */
static long unix_sockets(void)
{
	char line[256];
	long count = 0;
	FILE *file = fopen("/proc/net/unix", "re");
	CHECK(file);
	while (fgets(line, sizeof line, file))
		count++;
	fclose(file);
	return count;
}

/* All descriptors of this process that are sockets or epoll sets: links, listener, pollable. */
static int own_fds(int *ret_fds, int room)
{
	int count = 0;
	DIR *listed = opendir("/proc/self/fd");
	CHECK(listed);
	for (struct dirent *entry; (entry = readdir(listed)) && count < room;) {
		char link[64];
		ssize_t n = readlinkat(dirfd(listed), entry->d_name, link, sizeof link - 1);
		link[n > 0 ? n : 0] = 0;
		if (strncmp(link, "socket:", 7) == 0 || strstr(link, "[eventpoll]"))
			ret_fds[count++] = atoi(entry->d_name);
	}
	closedir(listed);
	return count;
}

static void send_these(const int *fds, int count)
{
	int result = sendfds(target, S, fds, (size_t)count, NULL, 0, &NOW);
	CHECK(result == 0, "%s", errno_name(-result));
}

/* Its pollable descriptor, listener and links, and a signalfd, a thousand times through itself. */
static void through_itself(unsigned flags, bool receive)
{
	int fds[64], got[252];
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, flags);
	CHECK_OK(sendfd(target, S, 2)); /* so that there is a link */
	close(recv_soon(inbox, NULL));
	sigset_t set = set_of(S, SIGIO, 0);
	int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int count = own_fds(fds, 60), before = count_fds();
	CHECK(count >= 4, "epoll set, listener, both ends of a link: %d", count);
	fds[count++] = sfd;
	for (int i = 0; i < 1000; i++) {
		send_these(i % 2 ? fds : &fds[i / 2 % count], i % 2 ? count : 1);
		if (!receive && i == 100)
			break;
		if (!receive)
			continue;
		struct timespec limit = in_ms(5000 * (long)slower());
		int n = CHECK_OK(sendfd_recvs(inbox, got, 252, NULL, 0, NULL, &limit));
		CHECK_EQ(n, i % 2 ? count : 1);
		while (n > 0)
			close(got[--n]);
		CHECK_EQ(count_fds(), before);
	}
	if (receive)
		expect_empty(inbox);
	close(sfd);
	sendfd_inbox_close(inbox);
}

static void in_a_process(void *arg)
{
	unsigned way = *(unsigned *)arg;
	through_itself(way & SENDFD_INBOX_NOSIGNAL, way & 1);
}

/* How many sockets there are in a network namespace where nobody else has any. The collector runs when
 * anybody closes a unix socket: that may have been the last one, so one more is closed here. */
static void expect_no_sockets_but(long expected)
{
	long limit = now_ms() + 10000, now;
	while ((now = unix_sockets()) != expected && now_ms() < limit) {
		close(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		poll(NULL, 0, 5);
	}
	CHECK_EQ(now, expected);
}

/* In a process of its own, which exits with the cycles in its mailbox; nothing of them may stay. */
static void no_growth(unsigned way)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	long before = unix_sockets();
	for (int i = 0; i < 3; i++) {
		struct child child = fork_child(in_a_process, &way);
		child_join(&child);
	}
	expect_no_sockets_but(before);
}

TEST_NEEDS(received_each_time, NET_NAMESPACE) { no_growth(1); }
TEST_NEEDS(received_each_time_quiet, NET_NAMESPACE) { no_growth(SENDFD_INBOX_NOSIGNAL | 1); }
TEST_NEEDS(never_received, NET_NAMESPACE) { no_growth(0); }
TEST_NEEDS(never_received_quiet, NET_NAMESPACE) { no_growth(SENDFD_INBOX_NOSIGNAL); }

/* A descriptor that waits in a mailbox that waits in itself is released with it. */
TEST(what_waits_in_a_cycle_is_released)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		int fds[64];
		target = getpid();
		sendfd_inbox *inbox = open_inbox(S, flags);
		CHECK_OK(sendfd(target, S, 2));
		close(recv_soon(inbox, NULL));
		struct witness w = make_witness();
		int count = own_fds(fds, 60);
		fds[count++] = w.sent;
		send_these(fds, count);
		send_these(fds, count);
		close(w.sent);
		sendfd_inbox_close(inbox);
		forget_dead_links();
		/* The collector, see above. */
		for (long limit = now_ms() + 10000; !witness_released(w.end, 5) && now_ms() < limit;)
			close(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		CHECK(witness_released(w.end, 0));
		close(w.end);
	}
}

static void partner(void *arg)
{
	int fds[64];
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	target = (pid_t)parent_hear();
	for (int i = 0; i < 50; i++)
		send_these(fds, own_fds(fds, 60));
	parent_tell(0);
	parent_hear();
	if (parent_hear())
		sendfd_inbox_close(inbox);
}

/* Two processes hold each other's mailboxes in their own, and exit. */
TEST_NEEDS(two_that_hold_each_other, NET_NAMESPACE)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	long before = unix_sockets();
	for (long tidy = 0; tidy < 2; tidy++) {
		struct child one = fork_child(partner, NULL), two = fork_child(partner, NULL);
		child_hear(&one);
		child_hear(&two);
		child_tell(&one, two.pid);
		child_hear(&one);
		child_tell(&two, one.pid);
		child_hear(&two);
		for (int i = 0; i < 2; i++) {
			child_tell(&one, i && tidy);
			child_tell(&two, i && tidy);
		}
		child_join(&one);
		child_join(&two);
	}
	expect_no_sockets_but(before);
}

/* --- nothing leaks ------------------------------------------------------------------------------ */
static void one_shot(void *arg)
{
	(void)arg;
	CHECK_OK(sendfd(target, S, 2));
}

/* Senders come, send and go; the receiver keeps nothing of them, in whichever way it receives. */
static void many_short_lived_senders(unsigned flags, bool claim, bool late)
{
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, flags);
	sigset_t set = set_of(S, SIGIO, 0);
	int before = count_fds();
	for (int i = 0; i < 200; i++) {
		struct child sender = fork_child(one_shot, NULL);
		if (late) /* gone before the first look */
			child_join(&sender);
		for (int fd = -EAGAIN; fd < 0;) {
			siginfo_t si;
			struct timespec limit = in_ms(5000 * (long)slower());
			if (claim) {
				CHECK(sigtimedwait(&set, &si, &limit) > 0);
				fd = sendfd_claim(inbox, &si, NULL);
				CHECK(fd >= 0 || fd == -EAGAIN);
			} else {
				fd = recv_soon(inbox, NULL);
			}
			if (fd >= 0)
				close(fd);
		}
		if (!late)
			child_join(&sender);
	}
	siginfo_t si;
	while (claim && sigtimedwait(&set, &si, &NOW) > 0)
		CHECK_ERR(sendfd_claim(inbox, &si, NULL), EAGAIN);
	if (!claim)
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	int kept = count_fds() - before;
	CHECK(kept <= 2, "%d links of senders that are gone are kept", kept);
	CHECK(!readable(sendfd_inbox_fileno(inbox)) || !claim, "readable for ever");
	sendfd_inbox_close(inbox);
}

TEST(short_lived_senders_recv) { many_short_lived_senders(0, false, false); }
TEST(short_lived_senders_recv_late) { many_short_lived_senders(0, false, true); }
TEST(short_lived_senders_quiet) { many_short_lived_senders(SENDFD_INBOX_NOSIGNAL, false, true); }
TEST(short_lived_senders_claim) { many_short_lived_senders(0, true, false); }
TEST(short_lived_senders_claim_late) { many_short_lived_senders(0, true, true); }

static void short_receiver(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	close(recv_soon(inbox, NULL));
}

/* A sender keeps at most one descriptor for each receiver that lives, and none for the dead. */
TEST(a_sender_forgets_dead_receivers)
{
	int before = count_fds();
	for (int i = 0; i < 300; i++) {
		struct child receiver = fork_child(short_receiver, NULL);
		child_hear(&receiver);
		CHECK_OK(sendfd(receiver.pid, S, 2));
		child_join(&receiver);
		CHECK(count_fds() <= before + 1, "%d links are kept", count_fds() - before);
	}
}
