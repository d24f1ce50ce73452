/* An inbox that nobody knows any more. */
#include <string.h>

#include "sendfd.h"

__attribute__((noinline)) static int loses(void)
{
	sendfd_inbox *inbox;
	int result = sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox);
	memset(&inbox, 0, sizeof inbox);
	return result;
}

__attribute__((noinline)) static int overwrites_the_stack(void)
{
	volatile char room[16384];
	memset((char *)room, 0, sizeof room);
	return room[42];
}

int main(void) { return loses() + overwrites_the_stack(); }
