/* What is to be compared with Python, without any Python: the system calls of a quiet inbox, by hand, and the
 * library. */
#include "../bench.h"

#include <unistd.h>

void set_up(void);
void run_by_hand(int fd, int times);
void run_by_library(int fd, int times);

void set_up(void)
{
	hand_quiet.set_up();
	sendfd_quiet.set_up();
}

static void run(const struct way *way, int fd, int times)
{
	for (int i = 0; i < times; i++) {
		way->put(fd);
		close(way->take());
	}
}

void run_by_hand(int fd, int times)
{
	run(&hand_quiet, fd, times);
}

void run_by_library(int fd, int times)
{
	run(&sendfd_quiet, fd, times);
}
