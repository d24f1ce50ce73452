/* Waits for mail that does not come: it can be cancelled there. */
#include <stddef.h>
#include <time.h>

#include "sendfd.h"

int main(void)
{
	const struct timespec soon = {0, 1000000};
	sendfd_inbox *inbox;
	if (sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) == 0)
		sendfd_recv(inbox, NULL, &soon);
	sendfd_inbox_close(inbox);
	return 0;
}
