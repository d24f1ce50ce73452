/* Whom a sender means, where the kernel, a sandbox or a missing /proc tells it less than usual. */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static pid_t target;
static int pidfd;
static uid_t user;
static char address[SENDFD_ADDRESS_MAX];

static sendfd_inbox *open_addressed(unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	target = getpid();
	pidfd = my_pidfd_open(target);
	CHECK(pidfd >= 0 || !have_pidfd());
	return inbox;
}

static int send_to_address(const char *to)
{
	sendfd_outbox *outbox = NULL;
	int fd = make_memfd(8), result = sendfd_outbox_open_address(to, &NOW, &outbox);
	if (result == 0) {
		result = sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW);
		sendfd_outbox_close(outbox);
	}
	close(fd);
	return result;
}

static int send_by_pidfd(void)
{
	int fd = make_memfd(8), result = sendfd_pidfd(pidfd, S, fd);
	close(fd);
	return result;
}

/* Runs `sends` in a child, and takes what it has sent, if that is anything. */
static void sent_by(void (*sends)(void *), bool arrives)
{
	sendfd_inbox *inbox = open_addressed(0);
	struct child child = fork_child(sends, NULL);
	child_join(&child);
	if (arrives)
		expect_number(inbox, 8);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	if (pidfd >= 0)
		close(pidfd);
}

static void without_proc(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == 0);
}

/* --- by pidfd ------------------------------------------------------------------------------------------- */
static void has_no_proc(void *arg)
{
	without_proc();
	CHECK_OK(send_by_pidfd());
	(void)arg;
}

static void cannot_signal_by_pidfd(void *arg)
{
	refuse_call(SYS_pidfd_send_signal, ENOSYS);
	CHECK_OK(send_by_pidfd());
	become(lonely_uid());
	sendfd_outbox *outbox = NULL;
	CHECK_ERR(sendfd_outbox_open_pidfd(pidfd, S, &NOW, &outbox), EPERM);
	(void)arg;
}

/* Nothing tells whether it may be signalled: neither a pidfd nor an id. */
static void can_do_neither(void *arg)
{
	without_proc();
	refuse_call(SYS_pidfd_send_signal, ENOSYS);
	CHECK_ERR(send_by_pidfd(), ENOSYS);
	(void)arg;
}

TEST_NEEDS(a_pidfd_without_proc, ROOT | PIDFS) { sent_by(has_no_proc, true); }
TEST_NEEDS(a_pidfd_that_cannot_be_asked, ROOT | PIDFS | SECCOMP) { sent_by(cannot_signal_by_pidfd, true); }
TEST_NEEDS(a_pidfd_that_says_nothing, ROOT | PIDFS | SECCOMP) { sent_by(can_do_neither, false); }

/* --- by address ------------------------------------------------------------------------------------------ */
static unsigned long long start_time(void)
{
	unsigned long long start = 0;
	FILE *stat = fopen("/proc/self/stat", "re");
	CHECK(stat && fscanf(stat, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
				   "%*d %*d %llu", &start) == 1);
	fclose(stat);
	return start;
}

/* As a receiver without pidfds would give it. */
TEST(an_address_of_another_time)
{
	char old[SENDFD_ADDRESS_MAX];
	sendfd_inbox *inbox = open_addressed(0);
	for (int past = 0; past < 2; past++) {
		snprintf(old, sizeof old, "sendfd.1/%d.%llu/%d", target, start_time() + (unsigned)past, S);
		if (past)
			CHECK_ERR(send_to_address(old), EOPNOTSUPP);
		else
			CHECK_OK(send_to_address(old));
	}
	expect_number(inbox, 8);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	if (pidfd >= 0)
		close(pidfd);
}

static void is_short_of_descriptors(void *arg)
{
	refuse_call(SYS_pidfd_open, EMFILE);
	CHECK_ERR(send_to_address(address), EMFILE);
	(void)arg;
}

static void *thread_that_receives(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	struct child child = fork_child(is_short_of_descriptors, NULL);
	child_join(&child);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	return arg;
}

TEST_NEEDS(a_thread_that_cannot_be_looked_up, PIDFS | SECCOMP)
{
	thread_join(thread_start(thread_that_receives, NULL));
}

/* A receiver that is dead, and not reaped, whose raw clone has its listener. */
static void dies_with_a_clone(void *arg)
{
	open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	parent_tell(clone_that_stays());
	_exit(0);
	(void)arg;
}

TEST_NEEDS(the_address_of_the_dead, PIDFS)
{
	siginfo_t info;
	struct child dying = fork_child(dies_with_a_clone, NULL);
	child_hear(&dying);
	snprintf(address, sizeof address, "sendfd.1/%lu/%d", (unsigned long)inode_of(dying.pid), S);
	child_tell(&dying, 0);
	pid_t clone = (pid_t)child_hear(&dying);
	CHECK(waitid(P_PID, (id_t)dying.pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK_ERR(send_to_address(address), ECONNREFUSED);
	CHECK(kill(clone, SIGKILL) == 0);
	child_join(&dying);
}

/* A kernel with inodes of pidfds, and a filter in front of the pidfd of a peer. */
static void refuse_peer_pidfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[2]) + (__BYTE_ORDER == __BIG_ENDIAN ? 4 : 0)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77 /* SO_PEERPIDFD */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof code / sizeof *code, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void cannot_ask_for_its_peer(void *arg)
{
	refuse_peer_pidfd();
	CHECK_ERR(send_to_address(address), EOPNOTSUPP);
	send_memfd(target, 8);
	(void)arg;
}

static void cannot_ask_and_has_no_proc(void *arg)
{
	without_proc();
	refuse_peer_pidfd();
	CHECK_ERR(send_by_pidfd(), ECONNREFUSED); /* nothing proves who is there */
	send_memfd(target, 8);
	(void)arg;
}

TEST_NEEDS(a_peer_that_cannot_be_asked_for, PIDFS | SECCOMP) { sent_by(cannot_ask_for_its_peer, true); }
TEST_NEEDS(nor_looked_up, ROOT | PIDFS | SECCOMP) { sent_by(cannot_ask_and_has_no_proc, true); }

/* Whatever is missing for a first contact: nothing else is made of it. */
static void has_hardly_a_descriptor(void *arg)
{
	int hoard[64], hoarded = 0, missing = 0, result;
	sendfd_outbox *outbox = NULL;
	set_limit(RLIMIT_NOFILE, 64);
	CHECK_OK(sendfd_outbox_open(target, S, &NOW, &outbox)); /* what is opened once, is */
	sendfd_outbox_close(outbox);
	while ((hoard[hoarded] = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0)
		hoarded++;
	CHECK_EQ(errno, EMFILE);
	while ((result = sendfd_outbox_open(target, S, &NOW, &outbox)) != 0) {
		CHECK_EQ(result, -EMFILE);
		CHECK(hoarded > 0);
		close(hoard[--hoarded]);
		missing++;
	}
	CHECK(missing > 0);
	sendfd_outbox_close(outbox);
	while (hoarded > 0)
		close(hoard[--hoarded]);
	(void)arg;
}

TEST(a_table_that_is_nearly_full) { sent_by(has_hardly_a_descriptor, false); }

/* --- a thread by its pidfd ---------------------------------------------------------------------------------- */
static void sends_to_a_thread(void *arg)
{
	CHECK_OK(send_by_pidfd());
	(void)arg;
}

static void *has_a_pidfd(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	pidfd = (int)syscall(SYS_pidfd_open, syscall(SYS_gettid), O_EXCL /* PIDFD_THREAD */);
	CHECK(pidfd >= 0);
	struct child child = fork_child(sends_to_a_thread, NULL);
	child_join(&child);
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	close(pidfd);
	return arg;
}

TEST_NEEDS(a_thread_by_its_pidfd, PIDFS) { thread_join(thread_start(has_a_pidfd, NULL)); }

/* --- a user whose admission only /proc tells ---------------------------------------------------------------- */
static void is_a_user(void *arg)
{
	become(user);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	if (parent_hear())
		expect_number(inbox, 8);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void is_root_without_proc(void *arg)
{
	without_proc();
	CHECK_ERR(sendfd(target, S, 2), EPERM);
	(void)arg;
}

static void is_root(void *arg)
{
	snprintf(address, sizeof address, "sendfd.1/%lu/%d", (unsigned long)inode_of(target), S);
	CHECK_OK(send_to_address(address));
	(void)arg;
}

/* To whom mail comes, or none. */
static void to_a_user(void (*sends)(void *), bool comes)
{
	user = lonely_uid();
	struct child receiver = fork_child(is_a_user, NULL), sender;
	child_hear(&receiver);
	target = receiver.pid;
	sender = fork_child(sends, NULL);
	child_join(&sender);
	child_tell(&receiver, comes);
	child_join(&receiver);
}

TEST_NEEDS(root_without_proc_to_a_user, ROOT | PIDFS) { to_a_user(is_root_without_proc, false); }
TEST_NEEDS(root_by_address_to_a_user, ROOT | PIDFS) { to_a_user(is_root, true); }
