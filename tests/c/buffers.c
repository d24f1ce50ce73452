/* Machines whose sockets have small buffers (`net.core.wmem_default`): parcels of every size go all the same. */
#include "harness.h"

static int buffer; /* of each socket that is made from now on; 0: as the machine says */

static int shrink(int fd)
{
	/* the kernel doubles the number */
	CHECK(fd < 0 || !buffer || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){buffer / 2}, sizeof(int)) == 0);
	return fd;
}

/* The library's calls end here. */
int socket(int domain, int type, int protocol) { return shrink((int)syscall(SYS_socket, domain, type, protocol)); }

int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = (int)syscall(SYS_socketpair, domain, type, protocol, fds);
	if (result == 0) {
		shrink(fds[0]);
		shrink(fds[1]);
	}
	return result;
}

static bool stays_small; /* whatever is asked for */

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (stays_small && level == SOL_SOCKET && name == SO_SNDBUF && *(const int *)value > buffer)
		return 0;
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

static pid_t target;
static const size_t LENGTHS[] = {0, 1, 4000, 60000, SENDFD_MAX_DATA};

static void sends_large_ones(void *arg)
{
	static char data[SENDFD_MAX_DATA + 1];
	static int fds[SENDFD_MAX_FDS];
	(void)arg;
	for (int i = 0; i < SENDFD_MAX_FDS; i++)
		fds[i] = 2;
	buffer = 8192;
	for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++)
		CHECK_OK(sendfds(target, S, fds, SENDFD_MAX_FDS, data, LENGTHS[i], NULL));
	CHECK_ERR(sendfds(target, S, fds, 1, data, sizeof data, NULL), EMSGSIZE);
	parent_hear(); /* all are taken */
	int sent = 0, result;
	while ((result = sendfds(target, S, fds, 1, data, SENDFD_MAX_DATA, &NOW)) == 0)
		sent++;
	CHECK_EQ(result, -EAGAIN);
	struct timespec limit = in_ms(100);
	CHECK_TIMES_OUT(sendfds(target, S, fds, 1, data, SENDFD_MAX_DATA, &limit), 100);
	parent_tell(sent);
}

static void takes(sendfd_inbox *inbox, int nfds, size_t len)
{
	static char data[SENDFD_MAX_DATA];
	static int fds[SENDFD_MAX_FDS];
	sendfd_info info;
	struct timespec limit = in_ms(10000);
	CHECK_EQ(sendfd_recvs(inbox, fds, SENDFD_MAX_FDS, data, sizeof data, &info, &limit), nfds);
	CHECK_EQ(info.len, len);
	while (nfds > 0)
		close(fds[--nfds]);
}

TEST(small_buffers_take_large_parcels)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		target = getpid();
		struct child sender = fork_child(sends_large_ones, NULL);
		for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++)
			takes(inbox, SENDFD_MAX_FDS, LENGTHS[i]);
		child_tell(&sender, 0);
		for (long sent = child_hear(&sender); sent > 0; sent--)
			takes(inbox, 1, SENDFD_MAX_DATA);
		expect_empty(inbox);
		child_join(&sender);
		sendfd_inbox_close(inbox);
	}
}

/* `net.core.wmem_max` may not allow more. */
TEST(a_buffer_that_stays_too_small)
{
	static char data[60000];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	buffer = 8192;
	stays_small = true;
	for (int i = 0; i < 2; i++) {
		CHECK_ERR(sendfds(getpid(), S, NULL, 0, data, sizeof data, &NOW), EMSGSIZE);
		CHECK_OK(sendfds(getpid(), S, NULL, 0, data, 1000, &NOW));
		takes(inbox, 0, 1000);
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* One that has grown is no reason to put messages on sockets of other types, which have got its number. */
TEST(a_connection_of_the_program_in_the_place_of_a_link_that_has_grown)
{
	enum { MOST = 4096 };
	static char data[60000];
	static bool was_open[MOST];
	int link = -1, pair[2];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
	for (int fd = 0; fd < MOST; fd++)
		was_open[fd] = is_open(fd);
	buffer = 8192;
	CHECK_OK(sendfds(getpid(), S, NULL, 0, data, sizeof data, &NOW));
	for (int fd = 0; fd < MOST; fd++)
		if (!was_open[fd] && is_open(fd)) {
			CHECK_EQ(link, -1);
			link = fd;
		}
	takes(inbox, 0, sizeof data);
	CHECK(dup3(pair[0], link, O_CLOEXEC) == link);
	CHECK_OK(sendfds(getpid(), S, NULL, 0, data, 100, &NOW));
	CHECK(recv(pair[1], data, sizeof data, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	takes(inbox, 0, 100);
	close(link);
	close(pair[0]);
	close(pair[1]);
	sendfd_inbox_close(inbox);
}
