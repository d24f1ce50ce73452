/* How programs hand descriptors over without the library: over a socket that both have already, in
 * an epoll set; or over a new connection each time, because the two have nothing in common. */
#include "bench.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2], pair_epoll, listener, listener_epoll;
static struct address one_shot_address;

static void wait_for_one(int epoll)
{
	struct epoll_event events[64];

	must(epoll_wait(epoll, events, 64, 0) == 1, "epoll_wait");
}

static void classic_set_up(void)
{
	const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, pair) == 0, "socketpair");
	pair_epoll = epoll_of(pair[1]);
}

static void classic_put(int fd)
{
	send_one(pair[0], "", 1, fd);
}

static int classic_take(void)
{
	wait_for_one(pair_epoll);
	return receive_one(pair[1], MSG_DONTWAIT);
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

const struct way classic = {"classic", classic_set_up, classic_put, classic_take};
const struct way one_shot = {"one-shot", one_shot_set_up, one_shot_put, one_shot_take};
