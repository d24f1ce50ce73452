/* What the ways without the library have in common. */
#include "bench.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

#define MOST_FDS 253

union control {
	char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(MOST_FDS * sizeof(int))];
	struct cmsghdr align;
};

static void send_as(struct msghdr message, int flags, int socket, const void *bytes, size_t len, const int *fds, int count)
{
	union control control;
	struct iovec part = {(void *)bytes, len};
	const size_t size = (size_t)count * sizeof *fds;
	struct cmsghdr *first;

	message.msg_iov = &part;
	message.msg_iovlen = 1;
	message.msg_control = control.bytes;
	message.msg_controllen = CMSG_LEN(size);
	first = CMSG_FIRSTHDR(&message);
	first->cmsg_level = SOL_SOCKET;
	first->cmsg_type = SCM_RIGHTS;
	first->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(first), fds, size);
	must(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL | flags) == (ssize_t)len, "sendmsg");
}

void send_all(int socket, const void *bytes, size_t len, const int *fds, int count)
{
	send_as((struct msghdr){0}, 0, socket, bytes, len, fds, count);
}

void send_one(int socket, const void *bytes, size_t len, int fd)
{
	send_all(socket, bytes, len, &fd, 1);
}

void send_to_packets(int socket, const void *bytes, size_t len, int fd)
{
	sa_family_t family = AF_UNIX;
	struct msghdr message = {.msg_name = &family, .msg_namelen = sizeof family};

	send_as(message, MSG_FASTOPEN, socket, bytes, len, &fd, 1);
}

size_t receive_all(int socket, void *bytes, size_t size, int *fds, int count, int flags)
{
	union control control;
	struct iovec part = {bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	bool found = false;
	ssize_t len;

	message.msg_control = control.bytes;
	message.msg_controllen = sizeof control.bytes;
	len = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	must(len > 0, "recvmsg");
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at))
		if (at->cmsg_type == SCM_RIGHTS && at->cmsg_len == CMSG_LEN((size_t)count * sizeof *fds)) {
			memcpy(fds, CMSG_DATA(at), (size_t)count * sizeof *fds);
			found = true;
		}
	must(found, "control data");
	return (size_t)len;
}

int receive_one(int socket, int flags)
{
	char byte;
	int fd = -1;

	must(receive_all(socket, &byte, 1, &fd, 1, flags) == 1, "one byte");
	return fd;
}

struct address address_of(const char *name)
{
	struct address address;
	char *at = address.un.sun_path + 1;

	memset(&address, 0, sizeof address);
	address.un.sun_family = AF_UNIX;
	snprintf(at, sizeof address.un.sun_path - 1, "bench.%d.%s", (int)getpid(), name);
	address.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at));
	return address;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0, "socket");
	return fd;
}

void pass_credentials(int socket)
{
	int on = 1;

	must(setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0, "SO_PASSCRED");
}

int listen_at(const struct address *at, bool credentials)
{
	int fd = new_socket();

	if (credentials)
		pass_credentials(fd);
	must(bind(fd, (const struct sockaddr *)&at->un, at->len) == 0, "bind");
	must(listen(fd, SOMAXCONN) == 0, "listen");
	return fd;
}

int connect_to(const struct address *at)
{
	int fd = new_socket();

	must(connect(fd, (const struct sockaddr *)&at->un, at->len) == 0, "connect");
	return fd;
}

void epoll_also(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data = {.u64 = (unsigned)fd}};

	must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

int epoll_of(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	must(epoll >= 0, "epoll_create1");
	epoll_also(epoll, fd);
	return epoll;
}
