/* What guests can do once they are let in: all that other senders can. */
#include "guest.h"

#include <sys/prctl.h>

static void uses_an_outbox(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	char text[8];
	sendfd_info info;
	int fd = make_memfd(7), back;
	CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	CHECK_EQ(sendfd_outbox_request(outbox, NULL, 0, "ask", 3, &back, 1, text, sizeof text, &info, &limit), 1);
	CHECK_EQ(info.pid, receiver);
	take_number(back, 9);
	sendfd_outbox_close(outbox);
	/* Without a wait: the first send is what has to be let in. */
	parent_hear();
	CHECK_OK(sendfd_outbox_open_address(address, &NOW, &outbox));
	CHECK_ERR(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW), EAGAIN);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
	parent_tell(1);
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &limit));
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	sendfd_outbox_close(outbox);
	CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
	parent_tell(1);
	parent_hear();
	CHECK_ERR(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &limit), EPIPE);
	sendfd_outbox_close(outbox);
	close(fd);
}

TEST_NEEDS(outboxes_and_requests, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(uses_an_outbox, &guest);
		expect_number(inbox, 7);
		sendfd_info info;
		char text[8];
		struct timespec limit = in_ms(10000);
		CHECK_EQ(sendfd_recvs(inbox, NULL, 0, text, sizeof text, &info, &limit), 0);
		CHECK(info.len == 3 && memcmp(text, "ask", 3) == 0 && info.reply >= 0);
		int fd = make_memfd(9);
		CHECK_OK(sendfd_reply(info.reply, &fd, 1, NULL, 0));
		close(fd);
		close(info.reply);
		child_tell(&child, 1);
		child_hear(&child);
		expect_number(inbox, 7);
		look_while(inbox, &child);
		sendfd_inbox_close(inbox);
		child_tell(&child, 1);
		child_join(&child);
	}
}

static void outbox_is_turned_away(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(receiver, S, &NOW, &outbox));
	parent_tell(1);
	for (int i = 0; i < 2; i++)
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &limit), EPERM);
	sendfd_outbox_close(outbox);
	parent_tell(1);
}

TEST_NEEDS(an_outbox_that_did_not_wait_is_turned_away, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	uid_t other = guest + 1;
	struct child child = fork_child(outbox_is_turned_away, &other);
	child_hear(&child);
	look_while(inbox, &child);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void sends_by_pidfd(void *arg)
{
	int pidfd = my_pidfd_open(receiver), fd = make_memfd(7);
	become(*(uid_t *)arg);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* as a process that always had this user */
	CHECK_ERR(sendfd_pidfd(pidfd, S, fd), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	CHECK_OK(sendfd(receiver, S, fd)); /* over the same connection */
	close(fd);
	close(pidfd);
}

TEST_NEEDS(by_pidfd, ROOT | PIDFD)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_by_pidfd, &guest);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	expect_number(inbox, 7);
	expect_number(inbox, 7);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void *receives_in_a_thread(void *arg)
{
	sendfd_inbox *inbox = open_to_guest(SENDFD_INBOX_THREAD | *(unsigned *)arg);
	receiver = (pid_t)syscall(SYS_gettid);
	struct child child = fork_child(sends_as_guest, &guest);
	expect_number(inbox, 7);
	expect_number(inbox, 8);
	child_join(&child);
	sendfd_inbox_close(inbox);
	return NULL;
}

TEST_NEEDS(to_a_thread, ROOT)
{
	FOR_BOTH_KINDS (kind)
		thread_join(thread_start(receives_in_a_thread, (void *)&KINDS[kind]));
}

static void sends_again(void *arg)
{
	(void)arg;
	CHECK_OK(send_number(8, 10000));
}

static void sends_and_so_does_its_child(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	struct child child = fork_child(sends_again, NULL);
	child_join(&child);
}

TEST_NEEDS(a_child_of_a_guest_is_let_in_by_itself, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_and_so_does_its_child, &guest);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 7);
	CHECK_EQ(info.pid, child.pid);
	take_number(recv_soon(inbox, &info), 8);
	CHECK(info.pid != child.pid);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void counts_its_calls(void)
{
	become(guest);
	int fd = make_memfd(7);
	CHECK_OK(send_number(7, 10000));
	be_traced();
	CHECK_OK(sendfd(receiver, S, fd));
	mark();
	for (int i = 0; i < 10; i++)
		CHECK_OK(sendfd(receiver, S, fd));
	mark();
	_exit(0);
}

TEST_NEEDS(a_send_of_a_guest_is_one_call, ROOT | PTRACE)
{
	long sends = 0, others = 1;
	/* A machine under load may stop it so long that it looks at its connection first. */
	for (int attempt = 0; attempt < 5 && others; attempt++) {
		sendfd_inbox *inbox = open_to_guest(SENDFD_INBOX_NOSIGNAL);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			counts_its_calls();
		expect_number(inbox, 7);
		sends = trace_calls(pid, SYS_sendmsg, &others);
		sendfd_inbox_close(inbox);
	}
	CHECK_EQ(sends, 10);
	CHECK_EQ(others, 0);
}
