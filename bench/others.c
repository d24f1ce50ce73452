/* How programs hand descriptors over without the library: over a socket that both have already, in
 * an epoll set, with and without a look before; over a new connection each time, because the two have nothing
 * in common; or by a number, with ptrace rights. */
#include "bench.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int pair[2], pair_epoll, listener, listener_epoll;
static struct address one_shot_address;

static void wait_for_one(int epoll)
{
	struct epoll_event events[64];

	must(epoll_wait(epoll, events, 64, 0) == 1, "epoll_wait");
}

static void raw_set_up(void)
{
	const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, pair) == 0, "socketpair");
	pair_epoll = epoll_of(pair[1]);
}

static void raw_put(int fd)
{
	send_one(pair[0], "", 1, fd);
}

static int raw_take(void)
{
	wait_for_one(pair_epoll);
	return receive_one(pair[1], MSG_DONTWAIT);
}

static int raw_look_and_take(void)
{
	int fd;

	wait_for_one(pair_epoll);
	fd = receive_one(pair[1], MSG_DONTWAIT | MSG_PEEK);
	must(recv(pair[1], NULL, 0, MSG_DONTWAIT | MSG_TRUNC) == 1, "recv");
	return fd;
}

static void one_shot_set_up(void)
{
	one_shot_address = address_of("one-shot");
	listener = listen_at(&one_shot_address, false);
	listener_epoll = epoll_of(listener);
}

static void one_shot_put(int fd)
{
	int client = connect_to(&one_shot_address);

	send_one(client, "", 1, fd);
	close(client);
}

static int one_shot_take(void)
{
	int link, fd;

	wait_for_one(listener_epoll);
	link = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	must(link >= 0, "accept4");
	fd = receive_one(link, MSG_DONTWAIT);
	close(link);
	return fd;
}

static int said[2], pidfd;

static void getfd_set_up(void)
{
	must(pipe2(said, O_CLOEXEC) == 0, "pipe2");
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	must(pidfd >= 0, "pidfd_open");
}

static void getfd_put(int fd)
{
	must(write(said[1], &fd, sizeof fd) == sizeof fd, "write");
}

static int getfd_take(void)
{
	int number, fd;

	must(read(said[0], &number, sizeof number) == sizeof number, "read");
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	must(fd >= 0, "pidfd_getfd");
	return fd;
}

const struct way raw = {"raw", raw_set_up, raw_put, raw_take};
/* In the same pair, for it is empty between two rounds. */
const struct way raw_looked = {"raw-looked", raw_set_up, raw_put, raw_look_and_take};
const struct way one_shot = {"one-shot", one_shot_set_up, one_shot_put, one_shot_take};
const struct way getfd = {"getfd", getfd_set_up, getfd_put, getfd_take};
