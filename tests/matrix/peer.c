/* The contract of the matrix in C; see run. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sendfd.h>
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

static int send_all(pid_t pid, int signo, int nfds, size_t len, int count)
{
	int fds[SENDFD_MAX_FDS];
	struct timespec limit = {20, 0};
	char text[64];

	for (int i = 0; i < nfds; i++) {
		fds[i] = memfd_create("matrix", MFD_CLOEXEC);
		int n = snprintf(text, sizeof text, "%d-of-%d", i, (int)getpid());
		if (fds[i] < 0 || write(fds[i], text, (size_t)n) != n)
			return 1;
	}
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)i;
	for (int i = 0; i < count; i++) {
		snprintf(text, sizeof text, "%08d", i);
		memcpy(data, text, len < 8 ? len : 8);
		if (sendfds(pid, signo, fds, (size_t)nfds, data, len, &limit) < 0)
			fail("sendfds");
	}
	printf("sent %d\n", (int)getpid());
	return 0;
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
		close(fds[i]);
	}
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
	return send_all(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), (size_t)atol(argv[5]), atoi(argv[6]));
}
