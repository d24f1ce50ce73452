/* What the library promises for a parcel once the link stands, written out with the fewest system calls: the
 * same sockets, set up the same way, and the same calls (bench/calls shows that they are). */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIGNO 60
#define MOST_FDS 253

struct header {
	char magic[4];
	uint16_t version, nfds;
	uint32_t len, zero;
};

static const struct header one_fd = {{'s', 'n', 'd', 'f'}, 1, 1, 0, 0};
static sigset_t signal_set;
static int signals_client, signals_link, quiet_client, quiet_link, quiet_epoll;

/* Looks first, so that a full table loses nothing, then consumes. */
static int receive(int link)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct header header;
	struct iovec part = {&header, sizeof header};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct ucred sender = {0, 0, 0};
	int fd = -1;
	ssize_t len;

	message.msg_control = control.bytes;
	message.msg_controllen = sizeof control.bytes;
	len = recvmsg(link, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	must(len == sizeof header, "recvmsg");
	must(memcmp(&header, &one_fd, sizeof header) == 0, "header");
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		if (at->cmsg_level != SOL_SOCKET)
			continue;
		if (at->cmsg_type == SCM_RIGHTS && at->cmsg_len == CMSG_LEN(sizeof fd))
			memcpy(&fd, CMSG_DATA(at), sizeof fd);
		else if (at->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(at), sizeof sender);
	}
	must(fd >= 0 && sender.pid > 0, "control data");
	must(recv(link, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0, "recv");
	return fd;
}

static void arm(int fd)
{
	struct f_owner_ex owner = {F_OWNER_TID, gettid()};

	must(fcntl(fd, F_SETOWN_EX, &owner) == 0, "F_SETOWN_EX");
	must(fcntl(fd, F_SETSIG, SIGNO) == 0, "F_SETSIG");
	must(fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) == 0, "F_SETFL");
}

static int accept_from(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	must(fd >= 0, "accept4");
	return fd;
}

static void signals_set_up(void)
{
	const struct timespec now = {0, 0};
	const struct address at = address_of("signals");
	int listener, epoll;

	sigemptyset(&signal_set);
	sigaddset(&signal_set, SIGNO);
	sigaddset(&signal_set, SIGIO);
	must(sigprocmask(SIG_BLOCK, &signal_set, NULL) == 0, "sigprocmask");
	must(signal(SIGNO, SIG_IGN) != SIG_ERR && signal(SIGIO, SIG_IGN) != SIG_ERR, "signal");
	listener = listen_at(&at, true);
	arm(listener);
	epoll = epoll_of(listener);
	signals_client = connect_to(&at);
	pass_credentials(signals_client);
	signals_link = accept_from(listener);
	arm(signals_link);
	epoll_also(epoll, signals_link);
	must(sigtimedwait(&signal_set, NULL, &now) == SIGNO, "the signal of the connection");
}

static void signals_put(int fd)
{
	send_to_packets(signals_client, &one_fd, sizeof one_fd, fd);
}

static int signals_take(void)
{
	const struct timespec now = {0, 0};
	siginfo_t info;

	must(sigtimedwait(&signal_set, &info, &now) == SIGNO && info.si_fd == signals_link, "signal");
	return receive(signals_link);
}

static void quiet_set_up(void)
{
	const struct address at = address_of("quiet");
	int listener = listen_at(&at, true);

	quiet_epoll = epoll_of(listener);
	quiet_client = connect_to(&at);
	pass_credentials(quiet_client);
	quiet_link = accept_from(listener);
	epoll_also(quiet_epoll, quiet_link);
}

static void quiet_put(int fd)
{
	send_to_packets(quiet_client, &one_fd, sizeof one_fd, fd);
}

static void unnamed_put(int fd)
{
	send_one(quiet_client, &one_fd, sizeof one_fd, fd);
}

static void is_set_up(void)
{
}

/* Goes on with the link at hand, and asks epoll after a few dozen parcels, so that no other one starves. */
static int quiet_take(void)
{
	static int left;
	struct epoll_event events[64];

	if (left == 0) {
		int found = epoll_wait(quiet_epoll, events, 64, 0);

		must(found == 1 && events[0].data.u64 == (unsigned)quiet_link, "epoll_wait");
		left = 32;
	}
	left--;
	return receive(quiet_link);
}

const struct way hand_signals = {"hand-signals", signals_set_up, signals_put, signals_take};
const struct way hand_quiet = {"hand-quiet", quiet_set_up, quiet_put, quiet_take};
/* To the same receiver. */
const struct way hand_unnamed = {"hand-unnamed", is_set_up, unnamed_put, quiet_take};
