/* Threads, and descriptors that can be told apart. */
#include "harness.h"

pthread_t thread_start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, run, arg);
	CHECK(error == 0, "pthread_create: %s", errno_name(error));
	return thread;
}

void thread_join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

int make_memfd(long number)
{
	int fd = memfd_create("number", MFD_CLOEXEC);
	CHECK(fd >= 0 && pwrite(fd, &number, sizeof number, 0) == sizeof number);
	return fd;
}

long memfd_number(int fd)
{
	long number;
	return pread(fd, &number, sizeof number, 0) == sizeof number ? number : -1;
}

void take_number(int fd, long number)
{
	CHECK(fd >= 0);
	CHECK_EQ(memfd_number(fd), number);
	CHECK(close(fd) == 0);
}

bool same_description(int one, int other)
{
	off_t before = lseek(one, 0, SEEK_CUR);
	CHECK(before >= 0 && lseek(one, before + 4711, SEEK_SET) >= 0);
	bool same = lseek(other, 0, SEEK_CUR) == before + 4711;
	CHECK(lseek(one, before, SEEK_SET) == before);
	return same && lseek(other, 0, SEEK_CUR) == before;
}

int lowest_free(void)
{
	int fd = fcntl(2, F_DUPFD_CLOEXEC, 0);
	CHECK(fd >= 0);
	close(fd);
	return fd;
}

/* Without a descriptor of its own: the table may be full. */
int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 4096; fd++)
		count += is_open(fd);
	return count;
}

bool is_cloexec(int fd) { return fcntl(fd, F_GETFD) == FD_CLOEXEC; }
bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

bool readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};
	int n;
	do
		n = poll(&p, 1, 0);
	while (n < 0 && errno == EINTR);
	CHECK(n >= 0 && !(p.revents & POLLNVAL), "poll(%d)", fd);
	return n == 1;
}

struct witness make_witness(void)
{
	int p[2];
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	return (struct witness){p[0], p[1]};
}

bool witness_released(int end, int ms)
{
	struct pollfd p = {end, POLLIN, 0};
	int n;
	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	return n == 1 && (p.revents & POLLHUP);
}
