/* Sends its standard input to itself, and receives it. With NEIGHBOUR it uses another library, too. */
#define _POSIX_C_SOURCE 200809L
#include <sendfd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef NEIGHBOUR
int neighbour(void);
#endif

int main(void)
{
	sendfd_inbox *inbox;
	sendfd_info info;
#ifdef NEIGHBOUR
	if (neighbour() != 42)
		return 2;
#endif
	int r = sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox);
	if (r < 0) {
		perror("sendfd_inbox_open");
		return 1;
	}
	if (sendfd(getpid(), SENDFD_SIGNO, STDIN_FILENO) < 0) {
		perror("sendfd");
		return 1;
	}
	int fd = sendfd_recv(inbox, &info, NULL);
	if (fd < 0) {
		perror("sendfd_recv");
		return 1;
	}
	printf("sendfd %s: got a descriptor from myself: %s\n", sendfd_version(),
	       info.pid == getpid() ? "yes" : "no");
	close(fd);
	sendfd_inbox_close(inbox);
	return 0;
}
