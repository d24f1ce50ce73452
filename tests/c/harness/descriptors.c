/* Threads, and descriptors that can be told apart. */
#include "harness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

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

/* With bytes that the other side, which does not read, has no room for. */
int lingering_socket(int *ret_other)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof at;
	CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&at, len) == 0);
	*ret_other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(*ret_other >= 0);
	close(listener);
	static char bytes[1 << 16];
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
	while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		;
	CHECK(errno == EAGAIN);
	struct linger linger = {1, LINGERS};
	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
	return fd;
}
