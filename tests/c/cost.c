/* What a send costs: one system call. */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

/* After this long without a send a link is checked first; a machine under load may stop us that long
 * in the middle, so a burst that was not steady is tried again, a few times. */
#define ATTEMPTS 5
#define BURST 250 /* fits into a mailbox */

static pid_t target;

static void allow_only_sendmsg(void)
{
	static const long allowed[] = {SYS_sendmsg, SYS_write, SYS_read, SYS_exit_group};
	struct sock_filter code[8] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[0], 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[1], 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[2], 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[3], 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {7, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void send_in_way(int way, int fd)
{
	static char data[100];
	if (way == 0)
		CHECK_OK(sendfd(target, S, fd));
	else
		CHECK_OK(sendfds(target, S, (int[]){fd, fd, fd}, 3, data, sizeof data, NULL));
}

static void restricted_sender(void *arg)
{
	int way = *(int *)arg;
	int fd = make_memfd(1);
	send_in_way(way, fd);
	parent_tell(0);
	parent_hear();
	send_in_way(way, fd); /* the link is no longer idle */
	allow_only_sendmsg();
	for (int i = 0; i < BURST; i++)
		send_in_way(way, fd);
	parent_tell(1);
}

static int drain(sendfd_inbox *inbox)
{
	int fds[3], n, count = 0;
	while ((n = sendfd_recvs(inbox, fds, 3, (char[100]){0}, 100, NULL, &NOW)) > 0)
		for (count++; n > 0;)
			close(fds[--n]);
	CHECK_EQ(n, -EAGAIN);
	return count;
}

static void nothing_but_sendmsg(int way, unsigned flags)
{
	target = getpid();
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child sender = fork_child(restricted_sender, &way);
		child_hear(&sender);
		CHECK_EQ(drain(inbox), 1);
		child_tell(&sender, 0);
		siginfo_t si;
		CHECK(waitid(P_PID, (id_t)sender.pid, &si, WEXITED | WNOWAIT) == 0);
		int came = drain(inbox);
		sendfd_inbox_close(inbox);
		if (si.si_code == CLD_EXITED) {
			child_join(&sender);
			CHECK_EQ(came, BURST + 1);
			return;
		}
		child_kill(&sender);
	}
	CHECK(false, "a steady sender makes other calls than sendmsg");
}

TEST_WITH(a_steady_sendfd_is_sendmsg_alone, 60, SECCOMP) { nothing_but_sendmsg(0, 0); }
TEST_WITH(a_steady_sendfd_to_a_quiet_inbox, 60, SECCOMP) { nothing_but_sendmsg(0, SENDFD_INBOX_NOSIGNAL); }
TEST_WITH(a_steady_sendfds_is_sendmsg_alone, 60, SECCOMP) { nothing_but_sendmsg(1, 0); }

/* --- counted ------------------------------------------------------------------------------------ */
static void traced(void *arg)
{
	(void)arg;
	int fd = make_memfd(1);
	CHECK_OK(sendfd(target, S, fd));
	CHECK_OK(sendfd(target, S, fd));
	be_traced();
	mark();
	for (int i = 0; i < BURST; i++)
		CHECK_OK(sendfd(target, S, fd));
	mark();
}

TEST_WITH(one_call_for_each_parcel, 60, PTRACE)
{
	long sends = 0, others = 1;
	target = getpid();
	for (int attempt = 0; attempt < ATTEMPTS && others; attempt++) {
		sendfd_inbox *inbox = open_inbox(S, 0);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			traced(NULL);
			_exit(0);
		}
		sends = trace_calls(pid, SYS_sendmsg, &others);
		CHECK_EQ(drain(inbox), BURST + 2);
		sendfd_inbox_close(inbox);
	}
	CHECK_EQ(sends, BURST);
	if (others && traced_ms() >= 100)
		SKIP("needs a machine on which %d calls are traced within 100 ms, not %ld", BURST, traced_ms());
	CHECK_EQ(others, 0);
}
