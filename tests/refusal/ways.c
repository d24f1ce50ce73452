#include "ways.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

const struct timespec NOW = {0, 0}, SOON = {5, 0}, BRIEFLY = {0, 30000000};

pid_t peer;
int to_peer, from_peer, before;
sendfd_inbox *inbox;
static uint64_t mask_before;

int count_fds(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/fd");
	NEED(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

uint64_t mask_now(void)
{
	uint64_t mask;
	NEED(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask) == 0);
	return mask;
}

void set_of_both(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, S);
	sigaddset(set, SIGIO);
}

int numbered(int number)
{
	int fd = memfd_create("refusal", MFD_CLOEXEC);
	NEED(fd >= 0 && write(fd, &number, sizeof number) == sizeof number);
	return fd;
}

int number_of(int fd)
{
	int number = -1;
	NEED(pread(fd, &number, sizeof number, 0) == sizeof number);
	close(fd);
	return number;
}

void tell(int fd, int value) { NEED(write(fd, &value, sizeof value) == sizeof value); }

int hear(int fd)
{
	int value;
	NEED(read(fd, &value, sizeof value) == sizeof value);
	return value;
}

void start_peer(void (*part)(int from, int to))
{
	int down[2], up[2];
	NEED(pipe(down) == 0 && pipe(up) == 0);
	peer = fork();
	NEED(peer >= 0);
	if (peer == 0) {
		alarm(30);
		close(down[1]);
		close(up[0]);
		part(down[0], up[1]);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	to_peer = down[1];
	from_peer = up[0];
}

void end_peer(void)
{
	int status;
	close(to_peer);
	NEED(waitpid(peer, &status, 0) == peer && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(from_peer);
	peer = 0;
}

/* Of a number over 70, the first of three descriptors, with four bytes. */
void peer_sends(int from, int to)
{
	int number, at_first = count_fds();
	while ((number = hear(from))) {
		int fd = numbered(number);
		NEED(sendfds(getppid(), S, (int[]){fd, 2, 2}, number > 70 ? 3 : 1, "data", 4, &SOON) == 0);
		close(fd);
		NEED(count_fds() == at_first + 1); /* the link that it keeps */
		tell(to, 0);
	}
}

void have_sent(int number)
{
	tell(to_peer, number);
	hear(from_peer);
}

void note_before(void)
{
	mask_before = mask_now();
	before = count_fds();
}

void take(int number)
{
	int fd = sendfd_recv(inbox, NULL, &SOON);
	NEED(fd >= 0 && number_of(fd) == number);
}

/* Any name under which this process could be addressed, in /proc/net/unix. */
static bool is_listened_to(void)
{
	char line[512], by_id[64], by_inode[64];
	struct stat stat = {.st_ino = 0};
	bool found = false;
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd >= 0) {
		NEED(fstat(pidfd, &stat) == 0);
		close(pidfd);
	}
	snprintf(by_id, sizeof by_id, "@sendfd.1/%d.", getpid());
	snprintf(by_inode, sizeof by_inode, "@sendfd.1/%lu/", (unsigned long)stat.st_ino);
	FILE *sockets = fopen("/proc/net/unix", "r");
	NEED(sockets);
	while (!found && fgets(line, sizeof line, sockets))
		found = strstr(line, by_id) || strstr(line, by_inode);
	fclose(sockets);
	return found;
}

static char directory_[200];

void make_directory(void)
{
	const char *place = getenv("TMPDIR");
	snprintf(directory_, sizeof directory_, "%s/directory-XXXXXX", place ? place : "/tmp");
	NEED(mkdtemp(directory_) && setenv("SENDFD_DIR", directory_, 1) == 0);
}

const char *directory(void) { return directory_; }

static int each_file(bool removes)
{
	int count = 0;
	DIR *dir = opendir(directory_);
	NEED(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		NEED(!removes || unlinkat(dirfd(dir), entry->d_name, 0) == 0);
		count++;
	}
	closedir(dir);
	return count;
}

int files_in_directory(void) { return each_file(false); }

void remove_directory(void)
{
	each_file(true);
	NEED(rmdir(directory_) == 0);
}

void compare(void)
{
	sigset_t pending;
	NEED(count_fds() == before);
	NEED(mask_now() == mask_before);
	NEED(sigpending(&pending) == 0 && !sigismember(&pending, S) && !sigismember(&pending, SIGIO));
	/* A thread that releases what nobody waits for may keep a connection, which has the same name, for a moment. */
	int looks = 0;
	while (is_listened_to())
		NEED(++looks < 20000);
}

void close_and_compare(void)
{
	if (peer) {
		tell(to_peer, 0);
		end_peer();
	}
	sendfd_inbox_close(inbox);
	compare();
}
