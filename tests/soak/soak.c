/* Board, logs, counting: common to senders and receivers. */
#include "soak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <sys/un.h>
#include <unistd.h>

struct board *board;
struct log *logged;
const char *directory;
uint32_t number;
static int faults = -1;
static _Thread_local uint64_t state;

static void die(const char *what)
{
	fault("%s: %s", what, strerror(errno));
	exit(3);
}

uint64_t now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000ULL + (uint64_t)at.tv_nsec;
}

void seed_dice(uint64_t seed) { state = (seed + 1) * 0x9E3779B97F4A7C15ULL | 1; }

uint64_t dice(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 11;
}

void fault(const char *format, ...)
{
	char line[512];
	int start = snprintf(line, sizeof line, "%u pid %d: ", number, (int)getpid());
	va_list args;
	va_start(args, format);
	int len = start + vsnprintf(line + start, sizeof line - (size_t)start - 1, format, args);
	va_end(args);
	len = len < (int)sizeof line - 1 ? len : (int)sizeof line - 2;
	line[len++] = '\n';
	int fd = faults >= 0 ? faults : STDERR_FILENO;
	if (write(fd, line, (size_t)len) != len)
		abort();
}

static void *map(const char *path, int flags, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return NULL;
	if (flags && ftruncate(fd, (off_t)size) < 0)
		die(path);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die(path);
	close(fd);
	return at;
}

void next_log(const char *role, uint32_t kind)
{
	char path[512];
	size_t row = strcmp(role, "sender") == 0 ? sizeof(struct row_sent) : sizeof(struct row_taken);
	struct log *fresh;
	do {
		number++;
		snprintf(path, sizeof path, "%s/%s-%u", directory, role, number);
		fresh = map(path, O_CREAT | O_EXCL, sizeof *fresh + MAX_ROWS * row);
		if (!fresh && errno != EEXIST)
			die(path);
	} while (!fresh);
	fresh->pid = (uint32_t)getpid();
	fresh->kind = kind;
	fresh->t_begin = now();
	logged = fresh;
}

static void open_faults(void)
{
	char path[512];
	snprintf(path, sizeof path, "%s/faults", directory);
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	faults = fd;
}

void open_papers(const char *dir, const char *role, uint32_t base, uint32_t kind)
{
	char path[512];
	directory = dir;
	number = base;
	int inherited = descriptors();
	open_faults();
	if (inherited != 3)
		list_descriptors("a fresh image has more than 0, 1 and 2");
	snprintf(path, sizeof path, "%s/board", dir);
	board = map(path, 0, sizeof *board);
	if (!board)
		die(path);
	next_log(role, kind);
}

bool log_is_full(void) { return atomic_load(&logged->rows) >= MAX_ROWS / 2; }

uint32_t new_row(void)
{
	uint32_t row = atomic_fetch_add(&logged->rows, 1);
	if (row < MAX_ROWS)
		return row;
	fault("the log is too short");
	_exit(6);
}

void count_errno(int error)
{
	switch (error) {
	case EAGAIN: count(N_EAGAIN); break;
	case ETIMEDOUT: count(N_ETIMEDOUT); break;
	case ECONNREFUSED: count(N_ECONNREFUSED); break;
	case ESRCH: count(N_ESRCH); break;
	case EMFILE: count(N_EMFILE); break;
	case ETOOMANYREFS: count(N_ETOOMANYREFS); break;
	default: count(N_OTHER);
	}
}

/* --- descriptors --------------------------------------------------------------------------------- */
static int scan(const char *what, const char *why)
{
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return -1;
	int found = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		char target[128];
		int fd = atoi(entry->d_name);
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
		if (len < 0 || fd == dirfd(dir))
			continue;
		target[len] = 0;
		found += strstr(target, what) != NULL;
		if (why) {
			struct sockaddr_un name = {0};
			socklen_t name_len = sizeof name;
			getsockname(fd, (struct sockaddr *)&name, &name_len);
			fault("%s: %d -> %s %s", why, fd, target, name.sun_path + 1);
		}
	}
	closedir(dir);
	return found;
}

int descriptors(void) { return scan("", NULL); }
int descriptors_that_are(const char *what) { return scan(what, NULL); }
void list_descriptors(const char *why) { scan("", why); }

/* Listeners and links have one; the place for an answer, which another thread may hold at a fork, has none. */
int sockets_with_a_name(void)
{
	int found = 0;
	for (int fd = 3; fd < 4096; fd++) {
		struct sockaddr_un name;
		socklen_t len = sizeof name;
		found += getsockname(fd, (struct sockaddr *)&name, &len) == 0 && len > sizeof name.sun_family;
	}
	return found;
}

void set_limit(int resource, unsigned long soft)
{
	struct rlimit limit;
	getrlimit((__rlimit_resource_t)resource, &limit);
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		die("setrlimit");
}

uint8_t data_byte(uint64_t first, uint32_t at) { return (uint8_t)(first * 7 + at); }

/* --- children ------------------------------------------------------------------------------------ */
void start_bare(void)
{
	execl("/proc/self/exe", "bare", "bare", directory, (char *)NULL);
	_exit(4);
}

int bare(const char *dir)
{
	directory = dir;
	int inherited = descriptors();
	open_faults();
	if (inherited != 3)
		list_descriptors("an image after fork and exec has more than 0, 1 and 2");
	return 0;
}

void reap(bool wait)
{
	int status;
	while (waitpid(-1, &status, wait ? 0 : WNOHANG) > 0)
		if (status != 0)
			fault("a forked child ended with status %#x", (unsigned)status);
}
