/* Memory of links and inboxes: of this process, and of the kernel as far as its slabs show it. */
#include "bench.h"

#include <malloc.h>
#include <pthread.h>
#include <sendfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS 2000
#define INBOXES 20
#define FIRST_NUMBER 36

static const struct timespec now = {0, 0};

/* Of mallopt's heap and of mappings. */
static double used_here(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd);
}

static double used_by_kernel(void)
{
	char line[128];
	double kilobytes = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	must(file != NULL, "/proc/meminfo");
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "Slab: %lf kB", &kilobytes) == 1)
			break;
	fclose(file);
	return kilobytes * 1024;
}

void memory(void)
{
	static sendfd_outbox *outboxes[LINKS];
	sendfd_inbox *inbox, *inboxes[INBOXES];
	double here, kernel;

	if (!may_open(2 * LINKS + 200)) {
		fprintf(stderr, "memory: RLIMIT_NOFILE is too low\n");
		return;
	}
	must(sendfd_inbox_open(SENDFD_SIGNO + 8, SENDFD_INBOX_NOSIGNAL, &inbox) == 0, "sendfd_inbox_open");
	here = used_here();
	for (int i = 0; i < INBOXES; i++)
		must(sendfd_inbox_open(FIRST_NUMBER + i, SENDFD_INBOX_NOSIGNAL, &inboxes[i]) == 0, "an inbox");
	report("memory", "inbox, user", (used_here() - here) / INBOXES, "bytes");

	here = used_here();
	kernel = used_by_kernel();
	for (int i = 0; i < LINKS; i++) {
		must(sendfd_outbox_open(getpid(), SENDFD_SIGNO + 8, &now, &outboxes[i]) == 0, "sendfd_outbox_open");
		must(sendfd_outbox_send(outboxes[i], &null_fd, 1, NULL, 0, NULL) == 0, "sendfd_outbox_send");
		close(sendfd_recv(inbox, NULL, &now));
	}
	report("memory", "link, user, both ends", (used_here() - here) / LINKS, "bytes");
	report("memory", "link, kernel, both ends", (used_by_kernel() - kernel) / LINKS, "bytes");
}
