/* What the library does when it finds itself in the wrong: it says so, and ends the process. */
#include "harness.h"

#include <sys/syscall.h>

static bool clock_is_broken;

/* In the place of the C library's. The coarse clock is read where it cannot fail, and is not asked whether it has. */
int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	if (clock_is_broken && clock != CLOCK_MONOTONIC_COARSE) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_clock_gettime, clock, ret_now);
}

TEST(it_says_why_and_aborts)
{
	int p[2], status;
	char said[4096] = "";
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	setenv("RUST_BACKTRACE", "1", 1);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		dup2(p[1], STDERR_FILENO);
		sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		clock_is_broken = true;
		sendfd_recv(inbox, NULL, &(struct timespec){1, 0});
		_exit(0);
	}
	close(p[1]);
	for (size_t len = 0, more; len < sizeof said - 1; len += more)
		if ((more = (size_t)read(p[0], said + len, sizeof said - 1 - len)) + 1 <= 1)
			break;
	close(p[0]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x, it said: %s", status, said);
	CHECK(strstr(said, "panicked at"), "it said: %s", said);
}
