/* What it takes to know that a parcel was taken. */
#include "bench.h"

#include <sendfd.h>
#include <unistd.h>

#define PARCELS 200

static const struct timespec now = {0, 0};
static sendfd_inbox *inbox;
static sendfd_outbox *outbox;

static void one(void)
{
	int fd;

	must(sendfd_outbox_send(outbox, &null_fd, 1, NULL, 0, NULL) == 0, "sendfd_outbox_send");
	fd = sendfd_recv(inbox, NULL, &now);
	must(fd >= 0, "sendfd_recv");
	close(fd);
}

static void by_sendfd(int times)
{
	const pid_t self = getpid();

	while (times--) {
		int fd;

		must(sendfd(self, SENDFD_SIGNO, null_fd) == 0, "sendfd");
		fd = sendfd_recv(inbox, NULL, &now);
		must(fd >= 0, "sendfd_recv");
		close(fd);
	}
}

static void by_outbox(int times)
{
	while (times--)
		one();
}

static void and_wait(int times)
{
	while (times--) {
		one();
		must(sendfd_outbox_wait_taken(outbox, NULL) == 0, "sendfd_outbox_wait_taken");
	}
}

void taken(void)
{
	const struct contender contenders[] = {
		{"sendfd", by_sendfd}, {"outbox", by_outbox}, {"outbox, and wait_taken", and_wait}};

	must(sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) == 0, "sendfd_inbox_open");
	must(sendfd_outbox_open(getpid(), SENDFD_SIGNO, &now, &outbox) == 0, "sendfd_outbox_open");
	compare("taken", "", contenders, 3, PARCELS, THIS_THREAD);
}
