/* First contact: what it takes to reach an inbox that was never sent to, and to open and close one. */
#include "bench.h"

#include <linux/capability.h>
#include <sendfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES 20

static const struct timespec now = {0, 0};
static sendfd_inbox *inbox;
static pid_t elsewhere;

static void reach(pid_t pid)
{
	sendfd_outbox *outbox;

	must(sendfd_outbox_open(pid, SENDFD_SIGNO, &now, &outbox) == 0, "sendfd_outbox_open");
	must(sendfd_outbox_send(outbox, &null_fd, 1, NULL, 0, NULL) == 0, "sendfd_outbox_send");
	sendfd_outbox_close(outbox);
}

static void by_name(int times)
{
	while (times--) {
		reach(getpid());
		close(sendfd_recv(inbox, NULL, &now));
	}
}

static void by_namespace(int times)
{
	while (times--)
		reach(elsewhere);
}

/* Whoever may not enter the other network finds the inbox by its file in the receiver's root. */
static void may_enter(bool may)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2];

	must(syscall(SYS_capget, &header, sets) == 0, "capget");
	if (may)
		sets[0].effective |= 1U << CAP_SYS_ADMIN;
	else
		sets[0].effective &= ~(1U << CAP_SYS_ADMIN);
	must(syscall(SYS_capset, &header, sets) == 0, "capset");
}

static void by_path(int times)
{
	may_enter(false);
	by_namespace(times);
	may_enter(true);
}

static void open_and_close(int times, unsigned flags)
{
	while (times--) {
		sendfd_inbox *opened;

		must(sendfd_inbox_open(SENDFD_SIGNO + 1, flags, &opened) == 0, "sendfd_inbox_open");
		sendfd_inbox_close(opened);
	}
}

static void quiet(int times) { open_and_close(times, SENDFD_INBOX_NOSIGNAL); }
static void with_signals(int times) { open_and_close(times, 0); }

static struct address raw_address;
static int raw_listener;

/* The same without a proof of who listens. */
static void raw_connection(int times)
{
	while (times--) {
		int client = connect_to(&raw_address), link;

		send_one(client, "", 1, null_fd);
		link = accept4(raw_listener, NULL, NULL, SOCK_CLOEXEC);
		must(link >= 0, "accept4");
		close(receive_one(link, MSG_DONTWAIT));
		close(link);
		close(client);
	}
}

/* A receiver with a network of its own, which root enters to reach it, and that listens in a directory, too. It ends
 * at a parcel without a descriptor. 0: that cannot be. */
static pid_t open_elsewhere(void)
{
	const sendfd_inbox_options options = {.size = sizeof options, .flags = SENDFD_INBOX_NOSIGNAL,
					      .directory = "/dev/shm"};
	int ready[2];
	char byte;
	pid_t pid;

	must(pipe(ready) == 0, "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0)
			_exit(1);
		sendfd_inbox_close(inbox);
		must(sendfd_inbox_open_with(SENDFD_SIGNO, &options, &inbox) == 0, "sendfd_inbox_open_with");
		must(write(ready[1], "x", 1) == 1, "write");
		for (int fd; (fd = sendfd_recv(inbox, NULL, NULL)) >= 0;)
			close(fd);
		sendfd_inbox_close(inbox);
		_exit(0);
	}
	close(ready[1]);
	return read(ready[0], &byte, 1) == 1 ? pid : 0;
}

void first_contact(void)
{
	struct contender contenders[] = {
		{"raw connection", raw_connection}, {"open and close, quiet", quiet},
		{"open and close, signals", with_signals}, {"by name", by_name},
		{"in another network", by_namespace}, {"in another network, by path", by_path},
	};
	sendfd_outbox *outbox = NULL;

	may_open(1); /* without capabilities, no more descriptors of a user may be in flight than that */
	must(sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) == 0, "sendfd_inbox_open");
	raw_address = address_of("raw");
	raw_listener = listen_at(&raw_address, false);
	elsewhere = open_elsewhere();
	const bool reached = elsewhere && sendfd_outbox_open(elsewhere, SENDFD_SIGNO, &now, &outbox) == 0;
	compare("first", "", contenders, reached ? 6 : 4, TIMES, THE_WALL);
	if (reached)
		must(sendfd_outbox_send(outbox, NULL, 0, "x", 1, NULL) == 0, "sendfd_outbox_send");
	else if (elsewhere)
		kill(elsewhere, SIGKILL);
	if (elsewhere)
		waitpid(elsewhere, NULL, 0);
	sendfd_outbox_close(outbox);
}
