/* What waits unread in a queue when its socket is closed. The last reference of a TCP socket that lingers
 * is among it, of which a close() takes as long as the sender has chosen: nobody in this process waits. */
#include "harness.h"

#include <dirent.h>
#include <sched.h>

#define AT_ONCE 1500 /* milliseconds that a call may take on a loaded machine */

static pid_t target;
static char name[64];

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

/* --- senders: each holds the other side until it is told to end --------------------------------- */
struct way {
	uid_t uid;
	size_t len;   /* bytes on the wire; with 0, FIONREAD does not count the message */
	bool library; /* sent by it */
};
static const struct way PARCEL = {0, 16, true}, EMPTY = {0, 0, false}, LIE = {0, 15, false};

static void sends(void *arg)
{
	const struct way *way = arg;
	int other, fd = lingering_socket(&other);
	if (way->uid)
		become(way->uid);
	if (way->library) {
		CHECK_OK(sendfd(target, S, fd));
	} else {
		int link = raw_connect(name);
		CHECK(link >= 0, "%s", errno_name(-link));
		struct wire wire = WIRE(1, 0);
		CHECK_EQ(raw_send(link, &wire, way->len, &fd, 1), 0);
	}
	close(fd); /* now the queue has the last reference */
	parent_tell(0);
	parent_hear();
	_exit(0);
}

static sendfd_inbox *open_named(unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	target = getpid();
	inbox_name(target, S, name, sizeof name);
	return inbox;
}

static struct child lingerer(const struct way *way)
{
	struct child child = fork_child(sends, (void *)way);
	child_hear(&child);
	return child;
}

static void end(struct child *child)
{
	child_tell(child, 0);
	child_join(child);
}

#define CHECK_AT_ONCE(call)                                                                                   \
	do {                                                                                                  \
		long start_ = now_ms();                                                                       \
		call;                                                                                         \
		CHECK(now_ms() - start_ < AT_ONCE, #call " took %ld ms", now_ms() - start_);                  \
	} while (0)

/* --- the receiver closes ------------------------------------------------------------------------- */
static const unsigned FLAGS[] = {0, SENDFD_INBOX_NOSIGNAL};

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
		end(&child);
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
	end(&child);
}

/* Meanwhile forks and sends go on. */
static void *closes(void *inbox)
{
	sendfd_inbox_close(inbox);
	return NULL;
}

static void forks_at_once(void)
{
	pid_t pid = -1;
	CHECK_AT_ONCE(pid = fork());
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(0);
	CHECK(exited_well(pid));
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
	end(&child);
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
		end(&child);
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
		end(&child);
	}
}

TEST(a_liar_with_a_lingering_socket) { turns_away(&LIE); }
TEST(an_empty_message_with_a_lingering_socket) { turns_away(&EMPTY); }
TEST_NEEDS(a_stranger_with_a_lingering_socket, ROOT)
{
	struct way stranger = {lonely_uid(), 16, false};
	turns_away(&stranger);
}

/* --- a receiver sends back -------------------------------------------------------------------------- */
/* Over its end of the link of a sender, which is the newest socket of this process that is connected. */
static void answers(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	close(recv_soon(inbox, NULL));
	int link = -1;
	for (int fd = 4095; fd > 2 && link < 0; fd--) {
		struct sockaddr_un peer;
		socklen_t len = sizeof peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sun_family == AF_UNIX)
			link = fd;
	}
	CHECK(link >= 0);
	int other, fd = lingering_socket(&other);
	int sent = raw_send(link, "x", 1, &fd, 1);
	parent_tell(sent);
	close(fd);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
	parent_tell(0);
	parent_hear();
}

static void sends_to_one_that_answers(void *arg)
{
	(void)arg;
	struct child receiver = fork_child(answers, NULL);
	child_hear(&receiver);
	int fd = make_memfd(1);
	CHECK_OK(sendfd(receiver.pid, S, fd));
	long sent = child_hear(&receiver);
	CHECK(sent == 0 || sent == -EPIPE, "%s", errno_name((int)-sent));
	child_hear(&receiver);
	child_tell(&receiver, 0);
	child_hear(&receiver);
	/* The first contact with somebody else, when dead links are given up. */
	CHECK_AT_ONCE(CHECK_ERR(sendfd(getpid(), S + 2, fd), ECONNREFUSED));
	CHECK_AT_ONCE(CHECK_ERR(sendfd(receiver.pid, S, fd), ECONNREFUSED));
	forks_at_once();
	CHECK_EQ(sent, -EPIPE);
	end(&receiver);
	close(fd);
}

TEST(what_a_receiver_sends_back_does_not_stall_its_sender)
{
	struct child sender = fork_child(sends_to_one_that_answers, NULL);
	child_join(&sender);
}

/* One that has the name of somebody else is refused; what it sent by then waits in our socket. */
#define SQUATS 3
static cpu_set_t here;

/* It runs as soon as somebody connects, and the sender goes on behind it. */
static void squats(void *arg)
{
	(void)arg;
	int listener = raw_listen(name);
	struct sched_param first = {.sched_priority = 1};
	CHECK(fcntl(listener, F_SETFL, 0) == 0);
	CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
	if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
		SKIP("SCHED_FIFO: %s", errno_name(errno));
	for (long n = 0; n < SQUATS; n++) {
		int other, fd = lingering_socket(&other);
		parent_tell(n);
		int link = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		CHECK(link >= 0);
		if (n > 0) /* a look at the first one shows nothing */
			CHECK_EQ(raw_send(link, "", 0, NULL, 0), 0);
		CHECK_EQ(raw_send(link, "x", 1, &fd, 1), 0);
		close(fd);
	}
	parent_tell(SQUATS);
	parent_hear();
}

static void stays(void *arg)
{
	(void)arg;
	parent_tell(0);
	parent_hear();
}

TEST_WITH(what_a_squatter_sends_back_does_not_stall_a_sender, 60, ROOT | PIDFS)
{
	struct child victim = fork_child(stays, NULL);
	child_hear(&victim);
	/* The name that the victim's inbox would have. */
	snprintf(name, sizeof name, "sendfd.1/%lu/%d", (unsigned long)inode_of(victim.pid), S);
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	struct child squatter = fork_child(squats, NULL);
	CHECK_EQ(child_hear(&squatter), 0);
	CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
	int fd = make_memfd(1);
	for (long n = 1; n <= SQUATS; n++) {
		CHECK_AT_ONCE(CHECK_ERR(sendfd(victim.pid, S, fd), ECONNREFUSED));
		forks_at_once();
		CHECK_EQ(child_hear(&squatter), n);
	}
	close(fd);
	child_kill(&squatter);
	end(&victim);
}

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
		end(&sender);
	}
}

/* --- answers --------------------------------------------------------------------------------------- */
static int asker_waits[2], go_on[2];

/* Holds the asker up while it is waiting for the answer. */
static void hold(int signo)
{
	(void)signo;
	char byte = 0;
	if (write(asker_waits[1], &byte, 1) != 1 || read(go_on[0], &byte, 1) != 1)
		_exit(1);
}

static void answers_with_one_that_lingers(void *arg)
{
	(void)arg;
	char byte;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	int other, fd = lingering_socket(&other);
	parent_tell(0);
	sendfd_info info;
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, NULL, 0, &info, NULL), 0);
	CHECK(kill(getppid(), SIGUSR1) == 0 && read(asker_waits[0], &byte, 1) == 1);
	CHECK_OK(sendfd_reply(info.reply, &fd, 1, NULL, 0));
	close(fd); /* now the answer has the last reference */
	close(info.reply);
	CHECK(write(go_on[1], &byte, 1) == 1);
	sendfd_inbox_close(inbox);
	parent_hear();
	_exit(0);
}

TEST(an_unwanted_answer_stalls_nobody)
{
	struct sigaction action = {.sa_handler = hold};
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(pipe2(asker_waits, O_CLOEXEC) == 0 && pipe2(go_on, O_CLOEXEC) == 0);
	struct child child = fork_child(answers_with_one_that_lingers, NULL);
	child_hear(&child);
	sendfd_outbox *outbox;
	CHECK_OK(sendfd_outbox_open(child.pid, S, NULL, &outbox));
	sendfd_info info;
	struct timespec limit = in_ms(10000);
	CHECK_AT_ONCE(CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, &info, &limit), EMSGSIZE));
	CHECK_EQ(info.nfds, 1);
	CHECK_AT_ONCE(sendfd_outbox_close(outbox));
	end(&child);
	for (int i = 0; i < 2; i++) {
		close(asker_waits[i]);
		close(go_on[i]);
	}
}
