/* Memory that is shared by label, in the place of pidfd_getfd: the owner keeps memfds, and whoever it may
 * answer asks for one by the owner's pid and a label. No ptrace right, no common parent, no path.
 * Usage: share LABEL=TEXT...   keeps them, and answers until it is ended
 *        share PID LABEL       fetches one, and prints what it holds
 *        share LABEL           the same, from the address that the environment has as OWNER: out of a container, see
 *                              examples/containers/memory */
#include <sendfd.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct kept {
	const char *label;
	int memfd;
};

static int keep(const char *text)
{
	int memfd = memfd_create("shared", MFD_CLOEXEC);

	/* A whole page, so that it can be mapped. */
	if (memfd < 0 || ftruncate(memfd, 4096) < 0 || write(memfd, text, strlen(text)) != (ssize_t)strlen(text)) {
		perror("memfd");
		exit(1);
	}
	return memfd;
}

static void answer(const sendfd_info *info, const char *label, const struct kept *kept, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(kept[i].label, label) == 0) {
			if (sendfd_reply(info->reply, &kept[i].memfd, 1, NULL, 0) < 0)
				perror("sendfd_reply"); /* the asker has gone, most likely */
			return;
		}
	sendfd_reply(info->reply, NULL, 0, "no such label", 13);
}

static int own(char **texts, int count)
{
	struct kept kept[100];
	sendfd_inbox *inbox;

	if (count > 100)
		return 2;
	for (int i = 0; i < count; i++) {
		char *sign = strchr(texts[i], '=');

		if (sign == NULL)
			return 2;
		*sign = '\0';
		kept[i] = (struct kept){texts[i], keep(sign + 1)};
	}
	if (sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) < 0) {
		perror("sendfd_inbox_open");
		return 1;
	}
	char address[SENDFD_ADDRESS_MAX];
	if (sendfd_inbox_address(inbox, address, sizeof address) < 0) {
		perror("sendfd_inbox_address");
		return 1;
	}
	printf("share %d at %s keeps %d\n", (int)getpid(), address, count);
	fflush(stdout);

	for (;;) {
		char label[80];
		sendfd_info info;

		/* Requests bring no descriptors; one that does, or that is too long, is thrown away. */
		if (sendfd_recvs(inbox, NULL, 0, label, sizeof label - 1, &info, NULL) < 0) {
			if (errno == EMSGSIZE)
				sendfd_discard(inbox, &info);
			else if (errno != EINTR && errno != EPROTO)
				break;
			continue;
		}
		label[info.len] = '\0';
		if (info.reply >= 0) {
			answer(&info, label, kept, count);
			close(info.reply);
		}
	}
	perror("sendfd_recvs");
	return 1;
}

static int fetch(pid_t owner, const char *address, const char *label)
{
	const struct timespec patience = {5, 0};
	sendfd_outbox *outbox;
	char said[80];
	int memfd;

	if ((address != NULL ? sendfd_outbox_open_address(address, &patience, &outbox)
			     : sendfd_outbox_open(owner, SENDFD_SIGNO, &patience, &outbox)) < 0) {
		perror("sendfd_outbox_open");
		return 1;
	}
	sendfd_info info;
	int nfds = sendfd_outbox_request(outbox, NULL, 0, label, strlen(label), &memfd, 1, said, sizeof said, &info,
					 &patience);
	if (nfds < 0)
		perror("sendfd_outbox_request");
	else if (nfds == 0)
		fprintf(stderr, "%d answers: %.*s\n", (int)info.pid, (int)info.len, said);
	sendfd_outbox_close(outbox);
	if (nfds != 1)
		return 1;

	char *text = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memfd, 0);
	if (text == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	printf("%s, from %d\n", text, (int)info.pid);
	return 0;
}

int main(int argc, char **argv)
{
	int result = 2;

	if (argc == 3 && strchr(argv[2], '=') == NULL)
		result = fetch(atoi(argv[1]), NULL, argv[2]);
	else if (argc == 2 && strchr(argv[1], '=') == NULL && getenv("OWNER") != NULL)
		result = fetch(0, getenv("OWNER"), argv[1]);
	else if (argc > 1)
		result = own(argv + 1, argc - 1);
	if (result == 2)
		fprintf(stderr, "usage: share LABEL=TEXT...  or  share PID LABEL  or  OWNER=ADDRESS share LABEL\n");
	return result;
}
