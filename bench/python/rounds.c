/* What is to be compared with Python, without any Python: the system calls of a quiet inbox, by hand. */
#include "../bench.h"

#include <unistd.h>

void set_up(void);
void run_by_hand(int fd, int times);

void set_up(void)
{
	hand_quiet.set_up();
}

void run_by_hand(int fd, int times)
{
	for (int i = 0; i < times; i++) {
		hand_quiet.put(fd);
		close(hand_quiet.take());
	}
}
