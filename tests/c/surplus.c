/* A link by which more descriptors come than there can be today. */
#include "harness.h"

#include <stdatomic.h>

/* The library finds this function in recvmsg's place. */
static atomic_int surplus; /* so many descriptors more come than the kernel passes today */

/* Another kernel may pass more than SCM_MAX_FD, as far as the caller's room goes. */
static void add(struct msghdr *message, size_t room)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t before = (size_t)((char *)cmsg - (char *)message->msg_control);
		for (int i = 0; i < surplus; i++) {
			int fd;
			if (before + cmsg->cmsg_len + sizeof fd > room) {
				message->msg_flags |= MSG_CTRUNC;
				return;
			}
			CHECK((fd = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0);
			memcpy((char *)cmsg + cmsg->cmsg_len, &fd, sizeof fd);
			cmsg->cmsg_len += sizeof fd;
			message->msg_controllen = before + cmsg->cmsg_len;
		}
		return;
	}
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	size_t room = message->msg_controllen;
	ssize_t len = syscall(SYS_recvmsg, socket, message, flags);
	int error = errno;
	if (len >= 0 && surplus)
		add(message, room);
	errno = error;
	return len;
}

TEST(more_descriptors_than_the_kernel_passes_today)
{
	char name[64];
	int fds[253], sent = make_memfd(1);
	for (int i = 0; i < 253; i++)
		fds[i] = sent;
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (int more = 1; more < 5; more++) {
			sendfd_inbox *inbox = open_inbox(S, flags);
			inbox_name(getpid(), S, name, sizeof name);
			int link = CHECK_OK(raw_connect(name)), before = count_fds();
			CHECK_OK(raw_send(link, &WIRE(252, 0), sizeof(struct wire), fds, 253));
			surplus = more;
			CHECK_ERR(sendfd_recvs(inbox, fds, 252, NULL, 0, NULL, &NOW), EAGAIN);
			surplus = 0;
			CHECK_EQ(count_fds(), before);
			int result = raw_send(link, &WIRE(1, 0), sizeof(struct wire), &sent, 1);
			CHECK(result == -EPIPE || result == -ECONNRESET, "%s", errno_name(-result)); /* shut out */
			close(link);
			sendfd_inbox_close(inbox);
		}
	close(sent);
}

/* What had no room is missed, though there are as many as are said to come. */
TEST(more_descriptors_than_the_largest_request_has)
{
	char name[64];
	int fds[253], pair[2], sent = make_memfd(1);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		for (surplus = 0;; surplus++) {
			sendfd_inbox *inbox = open_inbox(S, flags);
			sendfd_info info;
			inbox_name(getpid(), S, name, sizeof name);
			int link = CHECK_OK(raw_connect(name));
			CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
			for (int i = 0; i < 253; i++)
				fds[i] = i < 252 ? sent : pair[1];
			CHECK_OK(raw_send(link, &WIRE_REPLY(252, 0), sizeof(struct wire), fds, 253));
			close(pair[1]);
			int result = sendfd_recvs(inbox, fds, 252, NULL, 0, &info, &NOW);
			CHECK_EQ(result, surplus ? -EAGAIN : 252);
			for (int i = 0; i < result; i++)
				close(fds[i]);
			if (result >= 0)
				close(info.reply);
			close(pair[0]);
			close(link);
			sendfd_inbox_close(inbox);
			if (surplus == 2)
				break;
		}
	surplus = 0;
	close(sent);
}
