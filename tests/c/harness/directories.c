/* Directories in which an inbox listens; see directories.h. */
#include "directories.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>

void without_power_over_files(void) { have_only(1 << CAP_SYS_ADMIN); }

/* By the address of another inbox, which is like it but for the number. */
char *file_in(const char *directory, char *path)
{
	char address[SENDFD_ADDRESS_MAX], *last;
	sendfd_inbox *inbox = NULL;
	sendfd_inbox_options options = {.size = sizeof options, .flags = SENDFD_INBOX_NOSIGNAL, .directory = ""};
	CHECK_OK(sendfd_inbox_open_with(S + 1, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	sendfd_inbox_close(inbox);
	last = strrchr(address, '/');
	*strchr(address, '/') = '.';
	snprintf(path, PATH_MAX, "%s/%.*s.%d", directory, (int)(last - address), address, S);
	return path;
}

int files_in(const char *directory)
{
	int count = 0;
	DIR *dir = opendir(directory);
	CHECK(dir, "%s", directory);
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

bool is_socket(const char *path)
{
	struct stat stat;
	return lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode);
}

/* From another network namespace, by somebody who has no way but the directory. */
void sends_from_elsewhere(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	have_only(0); /* without the capability by which root reaches any network namespace */
	parent_tell(send_among_many(*(pid_t *)arg, 8));
}

int send_from_elsewhere(void)
{
	pid_t me = getpid();
	struct child child = fork_child(sends_from_elsewhere, &me);
	int result = (int)child_hear(&child);
	child_join(&child);
	return result;
}

void arrives(sendfd_inbox *inbox)
{
	CHECK_EQ(send_from_elsewhere(), 0);
	expect_number(inbox, 8);
}

void is_unreachable(void) { CHECK_EQ(send_from_elsewhere(), -ECONNREFUSED); }

void is_open_without(sendfd_inbox *inbox)
{
	int fd = make_memfd(7);
	is_unreachable();
	CHECK_OK(sendfd(getpid(), S, fd));
	close(fd);
	expect_number(inbox, 7);
	sendfd_inbox_close(inbox);
}
