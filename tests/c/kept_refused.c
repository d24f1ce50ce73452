/* A parcel that may not be received stays where it is and holds up nobody else, and is told from a full table. */
#include "harness.h"

#include <stdatomic.h>

/* --- what a security module does ------------------------------------------------------------------ */
/* KERNEL: where one may not receive a descriptor, the kernel installs those before it and cuts the rest off,
 * as it does when the table is full. The library finds this function in recvmsg's place. */
static atomic_ulong forbidden; /* the inode of a file that may not be received */
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

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	bool elsewhere = gettid() != getpid();
	if (elsewhere && fails_elsewhere) {
		errno = fails_elsewhere;
		return -1;
	}
	ssize_t len = syscall(SYS_recvmsg, socket, message, flags);
	int error = errno;
	if (limit_rises)
		set_limit(RLIMIT_NOFILE, elsewhere ? 256 : 80);
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

static void refused(unsigned flags, int place)
{
	char name[64];
	int fds[5] = {make_memfd(1), make_memfd(2), make_memfd(3)}, secret = make_memfd(4);
	forbid(secret);
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
	let_end(&other);
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

