/* A raw clone of a receiver holds its sockets, for as long as it does not call the library: so to close
 * them is not enough. */
#include "named.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>

static void end_clone(pid_t pid)
{
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static int connect_and_send(int fd)
{
	int link = raw_connect(name);
	CHECK(link >= 0, "%s", errno_name(-link));
	CHECK_EQ(raw_send(link, &WIRE(1, 0), sizeof WIRE(1, 0), &fd, 1), 0);
	return link;
}

/* Before the clone is made, so that it holds nothing of a sender. */
static struct child send_first(void (*sender)(void *))
{
	struct child child = fork_child(sender, NULL);
	child_hear(&child);
	return child;
}

/* --- an inbox is closed ------------------------------------------------------------------------- */
static void is_cut_off(void *arg)
{
	(void)arg;
	int fd = make_memfd(1), link = connect_and_send(fd);
	close(fd);
	parent_tell(0);
	parent_hear();
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, 10000) == 1 && p.revents & POLLHUP, "%x", p.revents);
	CHECK_EQ(raw_send(link, &WIRE(1, 0), sizeof WIRE(1, 0), (int[]){2}, 1), -EPIPE);
}

TEST(closing_ends_links)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct child sender = send_first(is_cut_off);
		expect_number(inbox, 1);
		pid_t clone = clone_that_stays();
		sendfd_inbox_close(inbox);
		child_tell(&sender, 0);
		child_join(&sender);
		end_clone(clone);
	}
}

static void finds_nobody(void *arg)
{
	(void)arg;
	CHECK_ERR(sendfd(target, S, 2), ECONNREFUSED);
	CHECK_EQ(raw_connect(name), -ECONNREFUSED);
}

TEST(closing_ends_listening)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		pid_t clone = clone_that_stays();
		sendfd_inbox_close(inbox);
		struct child sender = fork_child(finds_nobody, NULL);
		child_join(&sender);
		end_clone(clone);
	}
}

static void hears_of_its_release(void *arg)
{
	(void)arg;
	struct witness witness = make_witness();
	int link = connect_and_send(witness.sent);
	close(witness.sent);
	parent_tell(0);
	parent_hear();
	CHECK(witness_released(witness.end, 10000), "it is queued where nobody will take it");
	close(link);
}

TEST(closing_releases_what_nobody_has_accepted)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct child senders[] = {send_first(hears_of_its_release), send_first(hears_of_its_release)};
		pid_t clone = clone_that_stays();
		sendfd_inbox_close(inbox);
		for (int i = 0; i < 2; i++) {
			child_tell(&senders[i], 0);
			child_join(&senders[i]);
		}
		end_clone(clone);
	}
}

static atomic_int handled;
static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void goes_when_told(void *arg)
{
	(void)arg;
	int fd = make_memfd(1), link = connect_and_send(fd);
	close(fd);
	parent_tell(0);
	parent_hear();
	close(link); /* which signals whoever is armed to hear it */
}

TEST(nothing_signals_after_closing)
{
	struct sigaction action = {.sa_handler = on_signal};
	CHECK(sigaction(S, &action, NULL) == 0 && sigaction(SIGIO, &action, NULL) == 0);
	sendfd_inbox *inbox = open_named(0);
	struct child accepted = send_first(goes_when_told), ended = send_first(goes_when_told);
	expect_number(inbox, 1);
	expect_number(inbox, 1);
	struct child waiting = send_first(goes_when_told);
	pid_t clone = clone_that_stays();
	child_tell(&ended, 0);
	child_join(&ended);
	for (int fd; (fd = sendfd_recv(inbox, NULL, &NOW)) >= 0;) /* accepts the third, sees the end of the second */
		close(fd);
	sendfd_inbox_close(inbox);
	CHECK_EQ(handled, 0);
	child_tell(&accepted, 0);
	child_join(&accepted);
	child_tell(&waiting, 0);
	child_join(&waiting);
	CHECK_EQ(handled, 0);
	end_clone(clone);
}

/* A set of the program's own, whose member is not forgotten by the kernel while the clone has it. */
TEST(nothing_is_reported_after_closing)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct epoll_event event = {.events = EPOLLIN};
		int set = epoll_create1(EPOLL_CLOEXEC);
		CHECK(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, sendfd_inbox_fileno(inbox), &event) == 0);
		struct child accepted = send_first(goes_when_told);
		CHECK_EQ(epoll_wait(set, &event, 1, 10000), 1);
		expect_number(inbox, 1);
		struct child waiting = send_first(goes_when_told);
		pid_t clone = clone_that_stays();
		sendfd_inbox_close(inbox);
		CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
		child_tell(&accepted, 0);
		child_join(&accepted);
		child_tell(&waiting, 0);
		child_join(&waiting);
		CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
		end_clone(clone);
		close(set);
	}
}

/* --- a sender goes -------------------------------------------------------------------------------- */
TEST(the_end_of_a_link_is_seen_once)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_named(flags);
		struct child sender = send_first(goes_when_told);
		expect_number(inbox, 1);
		pid_t clone = clone_that_stays();
		child_tell(&sender, 0);
		child_join(&sender);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
		end_clone(clone);
	}
}

/* --- a receiver dies ------------------------------------------------------------------------------ */
static void never_looks(void *arg)
{
	(void)arg;
	open_inbox(S, 0);
	parent_tell(0);
	parent_hear(); /* its queue is full */
	parent_tell(clone_that_stays());
	parent_hear();
}

static void waits_for_room(void *arg)
{
	struct timespec limit = in_ms(15000);
	int sent, fd = make_memfd(2);
	fill_mailbox(target, S, &sent);
	parent_tell(sent);
	CHECK_ERR(sendfds(target, S, &fd, 1, NULL, 0, arg ? &limit : NULL), ESRCH);
	close(fd);
}

TEST(a_waiting_sender_notices_a_death)
{
	for (int timed = 0; timed < 2; timed++) {
		struct child receiver = fork_child(never_looks, NULL);
		child_hear(&receiver);
		target = receiver.pid;
		struct child sender = fork_child(waits_for_room, timed ? &timed : NULL);
		child_hear(&sender);
		while (state_of(sender.pid) != 'S')
			sched_yield();
		child_tell(&receiver, 0);
		pid_t clone = (pid_t)child_hear(&receiver);
		child_kill(&receiver);
		child_join(&sender);
		kill(clone, SIGKILL);
	}
}
