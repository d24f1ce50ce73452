/* A fork after a handler has jumped out of a call of the library. */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/prctl.h>

static sigjmp_buf out;
static bool forks_first;

/* Within a system call of the library: that is where the handler of any signal can run. */
static void jumps_out(int sig)
{
	(void)sig;
	if (forks_first) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		CHECK(pid > 0 && exited_well(pid));
	}
	siglongjmp(out, 1);
}

static void trap(long number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};
	struct sigaction action = {.sa_handler = jumps_out, .sa_flags = SA_NODEFER};
	CHECK(sigaction(SIGSYS, &action, NULL) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void is_jumped_out_of(void *arg)
{
	(void)arg;
	trap(SYS_epoll_create1);
	for (int i = 0; i < 4; i++) {
		forks_first = i % 2;
		long start = now_ms();
		if (sigsetjmp(out, 1) == 0) {
			sendfd_inbox *inbox;
			sendfd_inbox_open(S, 0, &inbox);
			CHECK(false, "not trapped");
		}
		for (int forks = 0; forks < 10; forks++) {
			pid_t pid = fork();
			CHECK(pid >= 0);
			if (pid == 0)
				_exit(0);
			CHECK(exited_well(pid));
		}
		CHECK(now_ms() - start < 1000 * (long)slower(), "%ld ms", now_ms() - start);
	}
}

/* A fork waits for such a call for a while, once. What the call had opened is lost. */
TEST_NEEDS(a_jump_out_of_a_call, SECCOMP)
{
	struct child child = fork_child(is_jumped_out_of, NULL);
	child_join(&child);
}
