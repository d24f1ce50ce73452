/* Counting the system calls of a child. */
#include "harness.h"

#include <sys/ptrace.h>

static long took_ms;

long traced_ms(void) { return took_ms; }

void be_traced(void)
{
	CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
	raise(SIGSTOP);
}

void mark(void)
{
	syscall(SYS_getppid);
}

long trace_calls(pid_t pid, long number, long *ret_others)
{
	long count = 0, began = now_ms();
	bool counting = false;
	int status;
	*ret_others = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSTOPPED(status));
	CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
	for (int sig = 0;;) {
		CHECK(ptrace(PTRACE_SYSCALL, pid, 0, sig) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			break;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		struct __ptrace_syscall_info info;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
			SKIP("ptrace cannot tell the call: %s", errno_name(errno));
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_getppid)
			counting = !counting;
		else if (info.entry.nr == SYS_clock_gettime)
			continue; /* where the kernel does not let a program read the clock by itself */
		else if (counting)
			++*(info.entry.nr == (uint64_t)number ? &count : ret_others);
	}
	took_ms = now_ms() - began;
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	return count;
}
