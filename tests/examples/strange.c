/* Sends parcels to a worker that it has no use for: with several descriptors, and with more than its
 * table of 64 can take. Returns when the worker has taken them all off its queue.
 * Usage: strange PID */
#include <sendfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t worker = argc == 2 ? atoi(argv[1]) : 0;
	const size_t counts[] = {2, 100, 5, 200};
	int fds[200], ends[2];
	char byte;

	if (pipe(ends) < 0)
		return 1;
	for (int i = 0; i < 200; i++)
		fds[i] = ends[1];
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		if (sendfds(worker, SENDFD_SIGNO, fds, counts[i], "strange", 7, NULL) < 0) {
			perror("sendfds");
			return 1;
		}
	}
	/* The end comes when the last of them is released. */
	close(ends[1]);
	return read(ends[0], &byte, 1) != 0;
}
