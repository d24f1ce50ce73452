/* The least that a receiver needs: open an inbox, say so, take one parcel after the other. It knows
 * nothing of the acceptor, which needs nothing of it but its pid.
 * Usage: worker */
#include "answer.h"

#include <stdio.h>
#include <unistd.h>

int main(void)
{
	sendfd_inbox *inbox;

	if (sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox) < 0) {
		perror("sendfd_inbox_open");
		return 1;
	}
	printf("worker %d is ready\n", (int)getpid());
	fflush(stdout);

	for (;;) {
		sendfd_info info;
		int connection = sendfd_recv(inbox, &info, NULL);

		if (connection >= 0)
			answer(connection, getpid(), &info);
		else if (!may_go_on(inbox, -connection, &info))
			break;
	}
	perror("sendfd_recv");
	sendfd_inbox_close(inbox);
	return 1;
}
