/* The contract of the matrix in C; see run. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sendfd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char data[SENDFD_MAX_DATA];

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -3; /* itself, . and .. */

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void fail(const char *what)
{
	printf("error %s %s\n", strerrorname_np(errno), what);
	exit(0);
}

static void prepare(int *fds, int nfds, size_t len)
{
	char text[64];

	for (int i = 0; i < nfds; i++) {
		fds[i] = memfd_create("matrix", MFD_CLOEXEC);
		int n = snprintf(text, sizeof text, "%d-of-%d", i, (int)getpid());
		if (fds[i] < 0 || write(fds[i], text, (size_t)n) != n)
			fail("memfd");
	}
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)i;
}

static void put_number(int number, size_t len)
{
	char text[64];

	snprintf(text, sizeof text, "%08d", number);
	memcpy(data, text, len < 8 ? len : 8);
}

static int send_all(pid_t pid, int signo, int nfds, size_t len, int count)
{
	int fds[SENDFD_MAX_FDS];
	struct timespec limit = {20, 0};

	prepare(fds, nfds, len);
	for (int i = 0; i < count; i++) {
		put_number(i, len);
		if (sendfds(pid, signo, fds, (size_t)nfds, data, len, &limit) < 0)
			fail("sendfds");
	}
	printf("sent %d\n", (int)getpid());
	return 0;
}

static bool is_right(int nfds, size_t len, const int *fds, const unsigned char *bytes, const sendfd_info *info)
{
	char text[64], right[64];

	if (info->nfds != (unsigned)nfds || info->len != len)
		return false;
	for (int i = 0; i < nfds; i++) {
		int n = snprintf(right, sizeof right, "%d-of-%d", i, (int)getpid());
		if (pread(fds[i], text, sizeof text, 0) != n || memcmp(text, right, (size_t)n) != 0)
			return false;
		close(fds[i]);
	}
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != data[len - 1 - i])
			return false;
	return true;
}

static int ask_all(pid_t pid, int signo, int nfds, size_t len, int count)
{
	static unsigned char answer[SENDFD_MAX_DATA];
	int fds[SENDFD_MAX_FDS], got[SENDFD_MAX_FDS];
	struct timespec limit = {20, 0};
	sendfd_outbox *outbox;
	sendfd_info info;

	prepare(fds, nfds, len);
	if (sendfd_outbox_open(pid, signo, &limit, &outbox) < 0)
		fail("sendfd_outbox_open");
	if (sendfd_outbox_send(outbox, NULL, 0, data, len, &limit) < 0)
		fail("sendfd_outbox_send");
	for (int i = 0; i < count; i++) {
		put_number(i, len);
		if (sendfd_outbox_request(outbox, fds, (size_t)nfds, data, len, got, SENDFD_MAX_FDS, answer, sizeof answer,
					  &info, &limit) < 0)
			fail("sendfd_outbox_request");
		if (!is_right(nfds, len, got, answer, &info))
			printf("another answer\n");
	}
	if (sendfd_outbox_wait_taken(outbox, &limit) < 0)
		fail("sendfd_outbox_wait_taken");
	sendfd_outbox_close(outbox);
	printf("asked %d\n", (int)getpid());
	return 0;
}

static void answer(const sendfd_info *info, const int *fds)
{
	for (unsigned i = 0; i < info->len / 2; i++) {
		unsigned char byte = data[i];
		data[i] = data[info->len - 1 - i];
		data[info->len - 1 - i] = byte;
	}
	if (sendfd_reply(info->reply, fds, info->nfds, data, info->len) < 0)
		fail("sendfd_reply");
	close(info->reply);
}

static void take(sendfd_inbox *inbox)
{
	int fds[SENDFD_MAX_FDS];
	struct timespec limit = {20, 0};
	sendfd_info info;
	char text[64];
	int n = sendfd_recvs(inbox, fds, SENDFD_MAX_FDS, data, sizeof data, &info, &limit);

	if (n < 0)
		fail("sendfd_recvs");
	printf("%d %u %u %d -", (int)info.pid, info.uid, info.gid, info.signo);
	for (unsigned i = 0; i < info.len; i++)
		printf("%02x", data[i]);
	for (int i = 0; i < n; i++) {
		ssize_t size = pread(fds[i], text, sizeof text, 0);
		printf(" %.*s", (int)(size < 0 ? 0 : size), text);
	}
	if (info.reply >= 0)
		answer(&info, fds);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	printf("\n");
}

static int receive(int signo)
{
	sendfd_inbox *inbox;
	int before = count_fds();
	char line[64];

	if (sendfd_inbox_open(signo, SENDFD_INBOX_NOSIGNAL, &inbox) < 0)
		fail("sendfd_inbox_open");
	printf("open %d\n", (int)getpid());
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		for (int left = atoi(line); left > 0; left--)
			take(inbox);
		fflush(stdout);
	}
	sendfd_inbox_close(inbox);
	printf("closed %d\n", count_fds() - before);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return receive(atoi(argv[2]));
	return (strcmp(argv[1], "ask") == 0 ? ask_all : send_all)(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]),
								 (size_t)atol(argv[5]), atoi(argv[6]));
}
