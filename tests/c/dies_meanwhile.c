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
