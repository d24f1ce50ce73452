/* One of the two in a test of containers: an inbox, and a sender on demand. Linked statically: it runs where there
 * is nothing else.
 *   peer [anyone | uid N | gid N]  lets in such guests;
 *                   prints "here", opens the inbox, prints "ready ADDRESS", and obeys its standard input:
 *   pid N TEXT      gives process N a file that holds TEXT; prints "sent", or "failed ERRNO"
 *   address A TEXT  likewise, to the inbox at A
 *   end             prints "end", after all that has come
 * What comes is printed as "got PID UID GID TEXT". */
#include <sendfd.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct timespec at_once = {0, 0};
static const struct timespec patience = {5, 0};

static void give_up(const char *what)
{
	printf("broken %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_outbox(const char *to_what, const char *whom, const struct timespec *timeout, sendfd_outbox **outbox)
{
	if (strcmp(to_what, "pid") == 0)
		return sendfd_outbox_open(atoi(whom), SENDFD_SIGNO, timeout, outbox);
	return sendfd_outbox_open_address(whom, timeout, outbox);
}

static int give(const char *to_what, const char *whom, const char *text)
{
	sendfd_outbox *outbox;
	int file = memfd_create("text", MFD_CLOEXEC);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		give_up("memfd");
	int result = open_outbox(to_what, whom, &at_once, &outbox);
	if (result == -EAGAIN)
		result = open_outbox(to_what, whom, &patience, &outbox);
	if (result == 0) {
		result = sendfd_outbox_send(outbox, &file, 1, NULL, 0, &patience);
		sendfd_outbox_close(outbox);
	}
	close(file);
	return result;
}

static void receive(sendfd_inbox *inbox)
{
	sendfd_info info;
	char text[80];
	int file;

	while ((file = sendfd_recv(inbox, &info, &at_once)) >= 0) {
		ssize_t length = pread(file, text, sizeof text, 0);

		printf("got %d %u %u %.*s\n", (int)info.pid, info.uid, info.gid, (int)(length < 0 ? 0 : length), text);
		close(file);
	}
	if (errno != EAGAIN)
		give_up("sendfd_recv");
}

static void obey(char *line, sendfd_inbox *inbox)
{
	char *rest = NULL;
	const char *order = strtok_r(line, " \n", &rest);
	const char *whom = strtok_r(NULL, " \n", &rest);
	const char *text = strtok_r(NULL, " \n", &rest);

	if (order != NULL && strcmp(order, "end") == 0) {
		receive(inbox);
		puts("end");
	} else if (order == NULL || whom == NULL || text == NULL) {
		puts("broken order");
	} else {
		int result = give(order, whom, text);

		if (result == 0)
			puts("sent");
		else
			printf("failed %d\n", -result);
	}
}

static void open_inbox(int argc, char **argv, sendfd_inbox **inbox)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = SENDFD_INBOX_NOSIGNAL};
	id_t guest = argc == 3 ? (id_t)atoi(argv[2]) : 0;

	if (argc == 2 && strcmp(argv[1], "anyone") == 0) {
		options.flags |= SENDFD_INBOX_ANYONE;
	} else if (argc == 3 && strcmp(argv[1], "uid") == 0) {
		options.uids = &guest;
		options.nuids = 1;
	} else if (argc == 3 && strcmp(argv[1], "gid") == 0) {
		options.gids = &guest;
		options.ngids = 1;
	} else if (argc > 1) {
		errno = EINVAL;
		give_up(argv[1]);
	}
	if (sendfd_inbox_open_with(SENDFD_SIGNO, &options, inbox) < 0)
		give_up("sendfd_inbox_open_with");
}

int main(int argc, char **argv)
{
	char line[256], address[SENDFD_ADDRESS_MAX];
	sendfd_inbox *inbox;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	puts("here");
	open_inbox(argc, argv, &inbox);
	if (sendfd_inbox_address(inbox, address, sizeof address) < 0)
		give_up("sendfd_inbox_address");
	printf("ready %s\n", address);

	struct pollfd ready[] = {{.fd = 0, .events = POLLIN}, {.fd = sendfd_inbox_fileno(inbox), .events = POLLIN}};
	for (;;) {
		if (poll(ready, 2, -1) < 0)
			give_up("poll");
		if (ready[1].revents != 0)
			receive(inbox);
		if (ready[0].revents != 0) {
			if (fgets(line, sizeof line, stdin) == NULL)
				break;
			obey(line, inbox);
		}
	}
	sendfd_inbox_close(inbox);
	return 0;
}
