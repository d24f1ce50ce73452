/* What waits unread when a receiver closes its inbox or turns its sender away. The last reference of a TCP socket that
 * lingers is among it: nobody in this process waits for its close(). */
#include "lingering.h"

/* The socket does linger here: what the others avoid. */
TEST(such_a_socket_lingers)
{
	pid_t pid = fork(); /* which keeps the other side, too */
	CHECK(pid >= 0);
	if (pid == 0) {
		int other, fd = lingering_socket(&other);
		long start = now_ms();
		close(fd);
		CHECK(now_ms() - start > LINGERS * 1000 - 500, "%ld ms", now_ms() - start);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

/* --- the receiver closes ------------------------------------------------------------------------- */

static void close_with(const struct way *way, bool accepted)
{
	for (size_t i = 0; i < 2; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i]);
		int fds = count_fds();
		struct child child = lingerer(way);
		struct witness w = make_witness();
		if (accepted) {
			/* Its connection is accepted when something else is asked for. */
			struct timespec limit = in_ms(20);
			int none[1];
			int n = sendfd_recvs(inbox, none, 0, NULL, 0, NULL, &limit);
			CHECK(n == -EMSGSIZE, "%s", errno_name(-n));
		}
		CHECK_OK(sendfd(target, S, w.sent)); /* behind it */
		close(w.sent);
		CHECK_AT_ONCE(sendfd_inbox_close(inbox));
		CHECK(witness_released(w.end, AT_ONCE));
		close(w.end);
		let_end(&child);
		CHECK(count_fds() < fds, "%d, then %d", fds, count_fds());
	}
}

TEST(an_inbox_with_a_lingering_socket_closes_at_once) { close_with(&PARCEL, true); }
TEST(an_inbox_with_a_lingering_socket_that_was_not_accepted) { close_with(&PARCEL, false); }
TEST(an_inbox_with_a_lingering_socket_in_an_empty_message) { close_with(&EMPTY, false); }
/* It is released with the listener then. */
TEST_NEEDS(an_inbox_with_a_lingering_socket_that_cannot_be_accepted, SECCOMP)
{
	sendfd_inbox *inbox = open_named(0);
	struct child child = lingerer(&PARCEL);
	refuse_call(SYS_accept4, ENFILE);
	CHECK_AT_ONCE(sendfd_inbox_close(inbox));
	let_end(&child);
}

/* Meanwhile forks and sends go on. */
static void *closes(void *inbox)
{
	sendfd_inbox_close(inbox);
	return NULL;
}

TEST(forks_and_sends_go_on_while_an_inbox_closes)
{
	sendfd_inbox *other = open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL);
	sendfd_inbox *inbox = open_named(SENDFD_INBOX_NOSIGNAL);
	struct child child = lingerer(&PARCEL);
	pthread_t thread = thread_start(closes, inbox);
	int fd = make_memfd(1);
	for (int i = 0; i < 20; i++) {
		forks_at_once();
		CHECK_AT_ONCE(CHECK_OK(sendfd(getpid(), S + 1, fd)));
		expect_number(other, 1);
	}
	CHECK_AT_ONCE(thread_join(thread));
	close(fd);
	let_end(&child);
	sendfd_inbox_close(other);
}

/* --- what a filter in front of the kernel refuses ---------------------------------------------------- */
static const struct refused {
	long calls[2];
	int error;
} OLDER = {{SYS_close_range, SYS_close_range}, ENOSYS}, NO_TABLE = {{SYS_close_range, SYS_unshare}, EPERM},
  NO_THREAD = {{SYS_clone, SYS_clone3}, EPERM};

static void closes_with_less(void *arg)
{
	const struct refused *refused = arg;
	bool waits = refused == &NO_THREAD; /* then it is waited for, but all the same closed */
	sendfd_inbox *inbox = open_named(SENDFD_INBOX_NOSIGNAL);
	int fds = count_fds();
	struct child child = {0};
	if (!waits)
		child = lingerer(&PARCEL);
	struct witness w = make_witness();
	CHECK_OK(sendfd(target, S, w.sent));
	close(w.sent);
	for (int i = 0; i < 2; i++)
		refuse_call(refused->calls[i], refused->error);
	CHECK_AT_ONCE(sendfd_inbox_close(inbox));
	/* The link, too, whoever is last to close it. */
	CHECK_AT_ONCE(CHECK_ERR(sendfd(target, S, 2), ECONNREFUSED));
	if (!waits)
		let_end(&child);
	CHECK(witness_released(w.end, 1000 * LINGERS + AT_ONCE));
	close(w.end);
	for (int tries = 0; count_fds() >= fds && tries < 1000; tries++)
		poll(NULL, 0, 1);
	CHECK(count_fds() < fds, "%d, then %d", fds, count_fds());
}

static void with_less(const struct refused *refused)
{
	struct child child = fork_child(closes_with_less, (void *)refused);
	child_join(&child);
}

TEST_NEEDS(closes_without_close_range, SECCOMP) { with_less(&OLDER); }
TEST_NEEDS(closes_without_a_table_of_its_own, SECCOMP) { with_less(&NO_TABLE); }
TEST_NEEDS(closes_without_a_thread, SECCOMP) { with_less(&NO_THREAD); }

static long mapped_pages(void)
{
	long pages;
	FILE *file = fopen("/proc/self/statm", "re");
	CHECK(file && fscanf(file, "%ld", &pages) == 1);
	fclose(file);
	return pages;
}

/* What the thread would have been told is given back. */
TEST_NEEDS(a_thread_that_does_not_come_to_be_leaves_no_memory, SECCOMP)
{
	enum { WARM = 50, ROUNDS = 300 };
	long before = 0;
	for (int i = 0; i < 2; i++)
		refuse_call(NO_THREAD.calls[i], NO_THREAD.error);
	for (int round = 0; round < WARM + ROUNDS; round++) {
		sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		CHECK_OK(sendfd(getpid(), S, 2));
		sendfd_inbox_close(inbox);
		if (round == WARM)
			before = mapped_pages();
	}
	CHECK(mapped_pages() < before + ROUNDS / 2, "%ld pages, then %ld", before, mapped_pages());
}

/* Its own pipes come to their end when it closes them, though the table was copied: the copy has been closed
 * by then, unless that took too long for once. */
TEST(the_programs_own_files_end_when_it_closes_them)
{
	int late = 0;
	for (int i = 0; i < 200; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i % 2]);
		CHECK_OK(sendfd(getpid(), S, 2));
		struct witness low = make_witness(), high = make_witness();
		int lifted = fcntl(high.sent, F_DUPFD_CLOEXEC, 900);
		CHECK(lifted >= 0 && close(high.sent) == 0);
		sendfd_inbox_close(inbox);
		close(low.sent);
		close(lifted);
		late += !witness_released(low.end, 0) || !witness_released(high.end, 0);
		CHECK(witness_released(low.end, AT_ONCE) && witness_released(high.end, AT_ONCE));
		close(low.end);
		close(high.end);
	}
	CHECK(late < 10, "%d of 200 were late", late);
}

/* --- the receiver turns away ----------------------------------------------------------------------- */
static void turns_away(const struct way *way)
{
	for (size_t i = 0; i < 2; i++) {
		sendfd_inbox *inbox = open_named(FLAGS[i]);
		int fds = count_fds();
		struct child child = lingerer(way);
		struct timespec limit = in_ms(50);
		CHECK_AT_ONCE(CHECK_ERR(sendfd_recv(inbox, NULL, &limit), ETIMEDOUT));
		CHECK_AT_ONCE(CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN));
		forks_at_once();
		CHECK(count_fds() <= fds + 2, "%d, then %d", fds, count_fds());
		CHECK_AT_ONCE(sendfd_inbox_close(inbox));
		let_end(&child);
	}
}

TEST(a_liar_with_a_lingering_socket) { turns_away(&LIE); }
TEST(an_empty_message_with_a_lingering_socket) { turns_away(&EMPTY); }
TEST_NEEDS(a_stranger_with_a_lingering_socket, ROOT)
{
	struct way stranger = {lonely_uid(), 16, false};
	turns_away(&stranger);
}
