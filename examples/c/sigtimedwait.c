/* A program with a signal loop of its own: the inbox's signals are dequeued together with SIGTERM,
 * and sendfd_claim() turns one that announces a parcel into the descriptor. The set must hold the
 * inbox's number, and SIGIO, which the kernel sends instead when the signal queue is full.
 * Usage: sigtimedwait */
#include "answer.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	const struct timespec a_minute = {60, 0};
	sendfd_inbox *inbox;
	sigset_t set;
	int running = 1, answered = 0;

	sigemptyset(&set);
	sigaddset(&set, SENDFD_SIGNO);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox) < 0) {
		perror("sendfd_inbox_open");
		return 1;
	}
	printf("worker %d is ready\n", (int)getpid());
	fflush(stdout);

	while (running) {
		sendfd_info info;
		siginfo_t signal;
		int number = sigtimedwait(&set, &signal, &a_minute);
		int connection;

		if (number == SIGTERM) {
			running = 0;
		} else if (number > 0) {
			connection = sendfd_claim(inbox, &signal, &info);
			if (connection >= 0) {
				answer(connection, getpid(), &info);
				answered++;
			} else if (!may_go_on(inbox, -connection, &info)) {
				perror("sendfd_claim");
				return 1;
			}
		} else {
			printf("worker %d: nothing for a minute\n", (int)getpid());
			fflush(stdout);
		}
	}
	sendfd_inbox_close(inbox);
	printf("worker %d ends, %d answered\n", (int)getpid(), answered);
	return 0;
}
