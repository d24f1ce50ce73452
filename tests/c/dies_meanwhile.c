/* A receiver that dies while its sender looks into /proc. */
#include "harness.h"

#include <stdarg.h>

static struct child *victim; /* is killed when this file of it is opened */
static const char *file_of_victim;

/* The library finds this in the place of that of the C library. */
int open(const char *path, int flags, ...)
{
	char watched[64];
	va_list arguments;
	va_start(arguments, flags);
	int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
	va_end(arguments);
	if (victim) {
		snprintf(watched, sizeof watched, "/proc/%d/%s", victim->pid, file_of_victim);
		if (strcmp(path, watched) == 0) {
			child_kill(victim);
			victim = NULL;
		}
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void receives(void *arg)
{
	become(*(uid_t *)arg);
	open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
}

static void dies_at(const char *file)
{
	uid_t uid = lonely_uid();
	struct child child = fork_child(receives, &uid);
	child_hear(&child);
	file_of_victim = file;
	victim = &child;
	pid_t pid = child.pid;
	CHECK_ERR(sendfd(pid, S, 2), ESRCH);
	CHECK(!victim, "%s was not looked at", file);
}

/* Root asks for its own number there. */
TEST_NEEDS(it_is_no_stranger_that_refuses, ROOT) { dies_at("uid_map"); }

/* --- dead, and not reaped, while a clone of it has its sockets --------------------------------------- */
TEST(a_zombie_whose_sockets_are_open)
{
	int p[2];
	pid_t pid, holder;
	siginfo_t si;
	CHECK(pipe2(p, O_CLOEXEC) == 0 && (pid = fork()) >= 0);
	if (pid == 0) {
		open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		holder = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no atfork handler runs */
		while (holder == 0)
			pause();
		CHECK(write(p[1], &holder, sizeof holder) == sizeof holder);
		_exit(0);
	}
	CHECK(read(p[0], &holder, sizeof holder) == sizeof holder && holder > 0);
	CHECK(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) == 0);
	CHECK_ERR(sendfd(pid, S, 2), ESRCH);
	CHECK_ERR(sendfds(pid, S, NULL, 0, "x", 1, NULL), ESRCH);
	CHECK(kill(holder, SIGKILL) == 0 && exited_well(pid));
	close(p[0]);
	close(p[1]);
}
