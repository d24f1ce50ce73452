/* A parcel that cannot be taken stays where it is and holds up nobody else. */
#include "harness.h"

#include <stdatomic.h>

static pid_t target;

/* --- what a security module does ------------------------------------------------------------------ */
/* KERNEL: where one may not receive a descriptor, the kernel installs those before it and cuts the rest off,
 * as it does when the table is full. The library finds this function in recvmsg's place. */
static atomic_ulong forbidden; /* the inode of a file that may not be received */
static atomic_int surplus;     /* so many descriptors more come than the kernel passes today */
static atomic_bool full_once; /* the table is full for one look, until another thread makes room */
static atomic_int fails_elsewhere; /* with this error, in other threads than the first */
static atomic_bool limit_rises; /* RLIMIT_NOFILE, after the call */

static void cut(struct msghdr *message)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), kept = 0;
		int fds[SENDFD_MAX_FDS + 1];
		struct stat stat;
		memcpy(fds, CMSG_DATA(cmsg), count * sizeof *fds);
		while (kept < count && !full_once && (fstat(fds[kept], &stat) != 0 || stat.st_ino != forbidden))
			kept++;
		if (kept == count)
			return;
		for (size_t i = kept; i < count; i++)
			close(fds[i]);
		message->msg_flags |= MSG_CTRUNC;
		cmsg->cmsg_len = CMSG_LEN(kept * sizeof(int));
		size_t before = (size_t)((char *)cmsg - (char *)message->msg_control);
		message->msg_controllen = before + (kept ? CMSG_LEN(kept * sizeof(int)) : 0);
		return;
	}
}

/* Another kernel may pass more than SCM_MAX_FD, as far as the caller's room goes. */
static void add(struct msghdr *message, size_t room)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t before = (size_t)((char *)cmsg - (char *)message->msg_control);
		for (int i = 0; i < surplus; i++) {
			int fd;
			if (before + cmsg->cmsg_len + sizeof fd > room) {
				message->msg_flags |= MSG_CTRUNC;
				return;
			}
			CHECK((fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0);
			memcpy((char *)cmsg + cmsg->cmsg_len, &fd, sizeof fd);
			cmsg->cmsg_len += sizeof fd;
			message->msg_controllen = before + cmsg->cmsg_len;
		}
		return;
	}
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	size_t room = message->msg_controllen;
	bool elsewhere = gettid() != getpid();
	if (elsewhere && fails_elsewhere) {
		errno = fails_elsewhere;
		return -1;
	}
	ssize_t len = syscall(SYS_recvmsg, socket, message, flags);
	int error = errno;
	if (limit_rises)
		set_limit(RLIMIT_NOFILE, elsewhere ? 256 : 80);
	if (len >= 0 && surplus)
		add(message, room);
	if (len >= 0 && (forbidden || full_once))
		cut(message);
	full_once = false;
	errno = error;
	return len;
}

static void forbid(int fd)
{
	struct stat stat;
	CHECK(fstat(fd, &stat) == 0);
	forbidden = stat.st_ino;
}

/* --- senders --------------------------------------------------------------------------------------- */
/* Each number that it hears is one parcel: of so many descriptors where it is negative, otherwise of one that
 * has this number. */
#define MANY(count) (-(count))
static void sends_what_it_hears(void *arg)
{
	(void)arg;
	for (long order; (order = parent_hear()) != 0;) {
		int fds[SENDFD_MAX_FDS], count = order < 0 ? (int)-order : 1, fd = make_memfd(order);
		for (int i = 0; i < count; i++)
			fds[i] = fd;
		CHECK_OK(sendfds(target, S, fds, (size_t)count, NULL, 0, NULL));
		close(fd);
		parent_tell(0);
	}
}

static void let_send(struct child *sender, long order)
{
	child_tell(sender, order);
	child_hear(sender);
}

static void dismiss(struct child *sender)
{
	child_tell(sender, 0);
	child_join(sender);
}

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
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, flags);
	struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
	sendfd_info info = {.nfds = 7};
	let_send(&two, 1);
	take_number(next_one(way, inbox, NULL), 1);
	let_send(&one, MANY(2));
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
	dismiss(&one);
	dismiss(&two);
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
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
		for (int round = 0; round < 3; round++) {
			let_send(&one, 1); /* both are known from now on */
			let_send(&two, 2);
			close(recv_soon(inbox, NULL));
			close(recv_soon(inbox, NULL));
			expect_empty(inbox); /* without signals it would go on with the link of the last one */
			let_send(&one, MANY(5));
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
		dismiss(&one);
		dismiss(&two);
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
		target = getpid();
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
		dismiss(&sender);
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
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		struct child one = fork_child(sends_what_it_hears, NULL), two = fork_child(sends_what_it_hears, NULL);
		struct rlimit before;
		CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
		sendfd_inbox *inbox = open_inbox(S, flags);
		let_send(&one, MANY(100));
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
		dismiss(&one);
		dismiss(&two);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* --- one that may not be received -------------------------------------------------------------------- */
static void refused(unsigned flags, int place)
{
	char name[64];
	int fds[5] = {make_memfd(1), make_memfd(2), make_memfd(3)}, secret = make_memfd(4);
	forbid(secret);
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, flags);
	inbox_name(getpid(), S, name, sizeof name);
	struct child other = fork_child(sends_what_it_hears, NULL);
	int link = CHECK_OK(raw_connect(name)), sent[3] = {fds[0], fds[1], fds[2]};
	sent[place] = secret;
	CHECK_OK(raw_send(link, &WIRE(3, 0), sizeof(struct wire), sent, 3));
	CHECK_OK(raw_send(link, &WIRE(1, 0), sizeof(struct wire), fds, 1));
	for (long n = 1; n < 20; n++)
		let_send(&other, n);

	sendfd_info info = {.nfds = 7};
	int got[3] = {-7, -7, -7};
	CHECK_ERR(sendfd_recvs(inbox, got, 3, NULL, 0, &info, &NOW), EACCES);
	CHECK(info.nfds == 3 && info.pid == getpid());
	CHECK(got[0] == -7 && got[1] == -7 && got[2] == -7);
	int open = count_fds();
	for (long n = 1; n < 20; n++)
		expect_number(inbox, n);
	CHECK(count_fds() <= open + 1, "a link at most");
	open = count_fds();
	for (int i = 0; i < 5; i++)
		CHECK_ERR(sendfd_recvs(inbox, got, 3, NULL, 0, NULL, &NOW), EACCES);
	CHECK_EQ(count_fds(), open);

	forbidden = 0; /* it is there, whole */
	CHECK_EQ(sendfd_recvs(inbox, got, 3, NULL, 0, NULL, &NOW), 3);
	for (int i = 0; i < 3; i++)
		take_number(got[i], i == place ? 4 : i + 1);
	expect_number(inbox, 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(secret);
	dismiss(&other);
	close(link);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST(refused_by_a_security_module)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (int place = 0; place < 3; place++)
			refused(flags, place);
}

TEST(refused_is_told_from_a_full_table)
{
	int sent = make_memfd(7), hoard[128], hoarded = 0;
	set_limit(RLIMIT_NOFILE, 128);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_OK(sendfd(getpid(), S, sent));
	CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE); /* the link is accepted */
	forbid(sent);
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMFILE); /* where both keep it out, there was no room first */
	forbidden = 0;
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMFILE);
	close(hoard[--hoarded]);
	forbid(sent);
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EACCES);
	forbidden = 0;
	take_number(recv_soon(inbox, NULL), 7);
	while (hoarded)
		close(hoard[--hoarded]);
	close(sent);
	sendfd_inbox_close(inbox);
}

static atomic_bool toggling;

/* Frees a number, and takes it again. */
static void *toggles(void *arg)
{
	int fd = *(int *)arg;
	while (toggling) {
		close(fd);
		while ((fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) < 0)
			CHECK(errno == EMFILE);
	}
	*(int *)arg = fd;
	return NULL;
}

TEST(a_full_table_is_no_refusal_while_other_threads_make_room)
{
	int sent = make_memfd(7), hoard[128], hoarded = 0, taken = 0;
	set_limit(RLIMIT_NOFILE, 128);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_OK(sendfd(getpid(), S, sent));
	CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE); /* the link is accepted */
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;)
		hoard[hoarded++] = fd;
	toggling = true;
	pthread_t other = thread_start(toggles, &hoard[hoarded - 1]);
	long end = now_ms() + 1500;
	while (now_ms() < end) {
		int fd = sendfd_recv(inbox, NULL, &NOW);
		CHECK(fd >= 0 || fd == -EMFILE, "%s", errno_name(-fd));
		if (fd >= 0) {
			taken++;
			close(fd);
			CHECK_OK(sendfd(getpid(), S, sent));
		}
	}
	toggling = false;
	thread_join(other);
	CHECK(taken > 0);
	while (hoarded)
		close(hoard[--hoarded]);
	take_number(recv_soon(inbox, NULL), 7);
	close(sent);
	sendfd_inbox_close(inbox);
}

/* EACCES is said where it is known: whoever discards such a parcel must not lose one that only came to a
 * full table. Here that has room again at once, and the library cannot learn, or not well, what it was. */
enum obstacle { NO_THREAD, NO_TABLE, NO_LOOK, NO_ROOM_BEFORE };

static void in_doubt(enum obstacle obstacle)
{
	int sent[100], got[100], count = obstacle == NO_ROOM_BEFORE ? 100 : 2;
	for (int i = 0; i < count; i++)
		sent[i] = make_memfd(i);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_OK(sendfds(getpid(), S, sent, (size_t)count, NULL, 0, NULL));
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE); /* the link is accepted */
	for (int i = 0; i < count; i++)
		close(sent[i]);
	switch (obstacle) {
	case NO_THREAD:
		refuse_call(SYS_clone3, ENOSYS);
		refuse_call(SYS_clone, EAGAIN);
		break;
	case NO_TABLE:
		refuse_call(SYS_close_range, ENOSYS);
		refuse_call(SYS_unshare, EPERM);
		break;
	case NO_LOOK:
		fails_elsewhere = ENOBUFS;
		break;
	case NO_ROOM_BEFORE:
		set_limit(RLIMIT_NOFILE, 64);
		limit_rises = true;
		break;
	}
	full_once = obstacle != NO_ROOM_BEFORE;
	sendfd_info info = {.nfds = 7};
	CHECK_ERR(sendfd_recvs(inbox, got, 100, NULL, 0, &info, &NOW), EMFILE);
	CHECK_EQ(info.nfds, count);
	limit_rises = false;
	CHECK_EQ(sendfd_recvs(inbox, got, 100, NULL, 0, NULL, &NOW), count); /* it is there, whole */
	for (int i = 0; i < count; i++)
		take_number(got[i], i);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(no_refusal_where_no_thread_can_look, SECCOMP) { in_doubt(NO_THREAD); }
TEST_NEEDS(no_refusal_where_no_thread_has_a_table_of_its_own, SECCOMP) { in_doubt(NO_TABLE); }
TEST(no_refusal_where_the_look_fails) { in_doubt(NO_LOOK); }
TEST(no_refusal_where_the_limit_rises_meanwhile) { in_doubt(NO_ROOM_BEFORE); }

/* --- more descriptors than there ever were ------------------------------------------------------------- */
TEST(more_descriptors_than_the_kernel_passes_today)
{
	char name[64];
	int fds[253], sent = make_memfd(1);
	for (int i = 0; i < 253; i++)
		fds[i] = sent;
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (int more = 1; more < 5; more++) {
			sendfd_inbox *inbox = open_inbox(S, flags);
			inbox_name(getpid(), S, name, sizeof name);
			int link = CHECK_OK(raw_connect(name)), before = count_fds();
			CHECK_OK(raw_send(link, &WIRE(252, 0), sizeof(struct wire), fds, 253));
			surplus = more;
			CHECK_ERR(sendfd_recvs(inbox, fds, 252, NULL, 0, NULL, &NOW), EAGAIN);
			surplus = 0;
			CHECK_EQ(count_fds(), before);
			int result = raw_send(link, &WIRE(1, 0), sizeof(struct wire), &sent, 1);
			CHECK(result == -EPIPE || result == -ECONNRESET, "%s", errno_name(-result)); /* shut out */
			close(link);
			sendfd_inbox_close(inbox);
		}
	close(sent);
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
