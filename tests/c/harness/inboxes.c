/* Inboxes: opening them, expecting mail, and going around the library. */
#include "harness.h"

#include <dirent.h>
#include <stddef.h>

const struct timespec NOW = {0, 0};

struct timespec in_ms(long ms) { return (struct timespec){ms / 1000, ms % 1000 * 1000000}; }

sendfd_inbox *open_inbox(int sig, unsigned flags)
{
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open(sig, flags, &inbox));
	CHECK(inbox);
	return inbox;
}

sendfd_outbox *open_outbox(pid_t pid, int sig)
{
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(pid, sig, &limit, &outbox));
	CHECK(outbox);
	return outbox;
}

void *ask_for_ever(void *outbox)
{
	int fd = make_memfd(1), result;
	result = sendfd_outbox_request(outbox, &fd, 1, NULL, 0, NULL, 0, NULL, 0, NULL, NULL);
	close(fd);
	return (void *)(intptr_t)result;
}

int recv_soon(sendfd_inbox *inbox, sendfd_info *info)
{
	struct timespec limit = in_ms(10000 * (long)slower());
	return CHECK_OK(sendfd_recv(inbox, info, &limit));
}

void expect_number(sendfd_inbox *inbox, long number)
{
	sendfd_info info;
	take_number(recv_soon(inbox, &info), number);
	CHECK_EQ(info.nfds, 1);
}

void expect_empty(sendfd_inbox *inbox)
{
	/* On a slow machine, a call that does not wait leaves to the next one what it has no time for. */
	for (unsigned tries = 0; tries == 0 || (tries < slower() && readable(sendfd_inbox_fileno(inbox))); tries++)
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	CHECK(!readable(sendfd_inbox_fileno(inbox)), "empty, but its descriptor polls readable");
}

void look_while(sendfd_inbox *inbox, struct child *child)
{
	struct timespec moment = in_ms(5);
	while (!readable(child->from)) {
		int fd = sendfd_recv(inbox, NULL, &moment);
		CHECK(fd == -ETIMEDOUT, "%d", fd);
	}
	child_hear(child);
}

void send_memfd(pid_t pid, long number)
{
	int fd = make_memfd(number);
	CHECK_OK(sendfd(pid, S, fd));
	close(fd);
}

struct send {
	pid_t pid;
	long number;
};

static void sends(void *arg)
{
	struct send *send = arg;
	send_memfd(send->pid, send->number);
}

void send_memfd_from_child(pid_t pid, long number)
{
	struct child child = fork_child(sends, &(struct send){pid, number});
	child_join(&child);
}

/* What other tests have in flight takes no longer than they do. */
int send_among_many(pid_t pid, long number)
{
	int result, fd = make_memfd(number);
	do
		result = sendfd(pid, S, fd);
	while (result == -ETOOMANYREFS && poll(NULL, 0, 10) == 0);
	close(fd);
	return result;
}

void sends_what_it_hears(void *arg)
{
	(void)arg;
	for (long order; (order = parent_hear()) != 0;) {
		int fds[SENDFD_MAX_FDS], count = order < 0 ? (int)-order : 1, fd = make_memfd(order);
		for (int i = 0; i < count; i++)
			fds[i] = fd;
		CHECK_OK(sendfds(getppid(), S, fds, (size_t)count, NULL, 0, NULL));
		close(fd);
		parent_tell(0);
	}
}

void let_send(struct child *sender, long order)
{
	child_tell(sender, order);
	child_hear(sender);
}

void let_end(struct child *sender)
{
	child_tell(sender, 0);
	child_join(sender);
}

void fill_mailbox(pid_t pid, int sig, int *ret_sent)
{
	int fd = make_memfd(1), result, sent = 0;
	while ((result = sendfd(pid, sig, fd)) == 0)
		sent++;
	CHECK(result == -EAGAIN, "after %d: %s", sent, errno_name(-result));
	CHECK(sent > 0 && sent < 100000, "%d", sent);
	close(fd);
	*ret_sent = sent;
}

/* KERNEL: a list that is read while sockets come and go may lack one that was there all the time. */
static bool look_for_inbox(pid_t pid, int sig, char *ret_name, size_t room)
{
	char path[64], line[512], link[64], wanted[64], tail[16];
	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	snprintf(tail, sizeof tail, "/%d", sig);
	FILE *file = fopen("/proc/net/unix", "re");
	CHECK(file);
	bool found = false;
	while (!found && fgets(line, sizeof line, file)) {
		unsigned flags;
		unsigned long inode;
		char name[128];
		if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu @%127s", &flags, &inode, name) != 3 || flags != 0x10000 ||
		    strncmp(name, "sendfd.1/", 9) != 0 || strcmp(name + strlen(name) - strlen(tail), tail) != 0)
			continue;
		snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
		DIR *dir = opendir(path);
		CHECK(dir, "%s", path);
		for (struct dirent *entry; !found && (entry = readdir(dir));) {
			ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
			link[n > 0 ? n : 0] = 0;
			if (strcmp(link, wanted) == 0) {
				found = true;
				snprintf(ret_name, room, "%s", name);
			}
		}
		closedir(dir);
	}
	fclose(file);
	return found;
}

void inbox_name(pid_t pid, int sig, char *ret_name, size_t room)
{
	int looks = 1;
	while (!look_for_inbox(pid, sig, ret_name, room))
		CHECK(looks++ < 100, "process %d has no listener for %d", (int)pid, sig);
}

static socklen_t abstract(const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	CHECK(strlen(name) < sizeof address->sun_path - 1);
	memcpy(address->sun_path + 1, name, strlen(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

int raw_connect(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = abstract(name, &address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
	if (connect(fd, (struct sockaddr *)&address, len) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

int raw_listen(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = abstract(name, &address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0, "%s", name);
	return fd;
}

int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int socket_ = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	CHECK(bind(socket_, (struct sockaddr *)&address, sizeof address) == 0, "%s", path);
	CHECK(listen(socket_, 0) == 0);
	return socket_;
}

int connect_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	if (connect(socket_, (struct sockaddr *)&address, sizeof address) == 0)
		return socket_;
	close(socket_);
	return -1;
}

int raw_send(int socket, const void *bytes, size_t len, const int *fds, size_t nfds)
{
	union {
		char bytes[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control;
	memset(&control, 0, sizeof control);
	struct iovec iov = {(void *)bytes, len};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (nfds) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A process keeps its links for later sends; those that lead to closed inboxes it gives up when it
 * next contacts somebody for the first time. */
void forget_dead_links(void)
{
	sendfd(getpid(), SIGRTMAX - 1, 2);
}
