/* Whoever sent what nobody took learns that it was lost, also where a child of the receiver holds the sockets. */
#include "lingering.h"

#include <dirent.h>
#include <sched.h>

/* --- closed, and unread ---------------------------------------------------------------------------- */
/* Whoever sent what nobody took learns that it was lost, not that it was read. */
static void is_told(int link)
{
	struct pollfd p = {link, POLLIN, 0};
	CHECK(poll(&p, 1, AT_ONCE) == 1 && (p.revents & POLLHUP), "%x", (unsigned)p.revents);
	int error = 0, tries = 0;
	socklen_t len = sizeof error;
	/* The queue is emptied a moment after the connection has ended. */
	while (error == 0 && tries++ < AT_ONCE) {
		CHECK(getsockopt(link, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
		if (error == 0)
			poll(NULL, 0, 1);
	}
	CHECK_EQ(error, ECONNRESET);
}

static void closed_unread(bool accepted)
{
	for (size_t i = 0; i < 2; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i]);
		struct wire wire = WIRE(1, 0);
		int link = raw_connect(name), fd = make_memfd(1);
		CHECK(link >= 0);
		if (accepted) {
			CHECK_EQ(raw_send(link, &wire, sizeof wire, &fd, 1), 0);
			expect_number(inbox, 1);
		}
		struct witness w = make_witness();
		CHECK_EQ(raw_send(link, &wire, sizeof wire, &w.sent, 1), 0);
		close(w.sent);
		sendfd_inbox_close(inbox);
		is_told(link);
		CHECK(witness_released(w.end, AT_ONCE));
		close(w.end);
		close(link);
		close(fd);
	}
}

TEST(mail_of_an_accepted_link_is_closed_unread) { closed_unread(true); }
TEST(mail_of_a_pending_connection_is_closed_unread) { closed_unread(false); }

/* --- a child that holds the sockets ------------------------------------------------------------------ */
/* From a raw clone, which no handler of fork() knows: it stands for a child of fork() that has not run yet. */
static void with_a_clone(bool accepted)
{
	for (size_t i = 0; i < 2; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i]);
		struct wire wire = WIRE(1, 0);
		int link = raw_connect(name), fd = make_memfd(1), stop[2];
		CHECK(link >= 0 && pipe2(stop, O_CLOEXEC) == 0);
		if (accepted) {
			CHECK_EQ(raw_send(link, &wire, sizeof wire, &fd, 1), 0);
			expect_number(inbox, 1);
		}
		CHECK_EQ(raw_send(link, &wire, sizeof wire, &fd, 1), 0);
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		CHECK(pid >= 0);
		if (pid == 0) {
			char byte;
			close(stop[1]);
			syscall(SYS_exit_group, read(stop[0], &byte, 1) == 0 ? 0 : 1);
		}
		sendfd_inbox_close(inbox);
		int result = raw_send(link, &wire, sizeof wire, &fd, 1);
		CHECK(result == -EPIPE || result == -ECONNRESET, "%s", errno_name(-result));
		struct pollfd p = {link, POLLIN, 0};
		CHECK(poll(&p, 1, 0) == 1 && (p.revents & POLLHUP), "%x", (unsigned)p.revents);
		CHECK_EQ(raw_connect(name), -ECONNREFUSED);
		CHECK(!pending(S) && !pending(SIGIO));
		close(stop[1]);
		CHECK(exited_well(pid));
		close(stop[0]);
		close(link);
		close(fd);
	}
}

TEST(a_clone_that_holds_the_sockets_keeps_no_link_open) { with_a_clone(true); }
TEST(a_clone_that_holds_the_sockets_keeps_no_connection_waiting) { with_a_clone(false); }

static size_t threads(void)
{
	size_t count = 0;
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks);
	for (struct dirent *task; (task = readdir(tasks));)
		count += task->d_name[0] != '.';
	closedir(tasks);
	return count;
}

/* Where the parent has closed its inbox before such a child closes what it has inherited, the child is the last
 * to do so, and releases what waits. */
TEST(a_child_that_closes_last_does_not_wait)
{
	for (size_t i = 0; i < 2; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i]);
		struct child sender = lingerer(&PARCEL);
		CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE); /* the link is accepted */
		int go[2];
		size_t before = threads();
		CHECK(pipe2(go, O_CLOEXEC) == 0);
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		CHECK(pid >= 0);
		if (pid == 0) {
			char byte;
			close(go[1]);
			CHECK_EQ(read(go[0], &byte, 1), 0);
			CHECK_AT_ONCE(CHECK_ERR(sendfd_inbox_fileno(inbox), EPERM));
			syscall(SYS_exit_group, 0);
		}
		sendfd_inbox_close(inbox);
		while (threads() > before) /* one has copies for a moment */
			sched_yield();
		close(go[1]);
		CHECK(exited_well(pid));
		close(go[0]);
		let_end(&sender);
	}
}
