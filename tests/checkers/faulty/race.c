/* One thread changes the array that another one sends from. */
#include <pthread.h>
#include <unistd.h>

#include "sendfd.h"

static int fds[1] = {1};
static int go[2];

static void *changes(void *arg)
{
	char byte;
	if (read(go[0], &byte, 1) != 1)
		return arg;
	for (int i = 0; i < 1000; i++)
		fds[0] = 1 + (i & 1);
	return NULL;
}

int main(void)
{
	sendfd_inbox *inbox;
	pthread_t thread;
	if (pipe(go) != 0 || sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) != 0)
		return 2;
	if (pthread_create(&thread, NULL, changes, NULL) != 0 || write(go[1], "", 1) != 1)
		return 3;
	for (int i = 0; i < 1000; i++)
		if (sendfds(getpid(), SENDFD_SIGNO, fds, 1, NULL, 0, NULL) == 0) {
			int fd = sendfd_recv(inbox, NULL, NULL);
			if (fd >= 0)
				close(fd);
		}
	pthread_join(thread, NULL);
	sendfd_inbox_close(inbox);
	return 0;
}
