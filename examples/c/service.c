/* A service that lets in a group, whoever its members are and though they may not signal it: each hands it a file
 * that it could not open itself, and it prints the first line of it.
 * Usage: service GROUP
 * Then, as a member:  sendfd give --wait-open --timeout 5 PID file:notes */
#include <sendfd.h>

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gid_t number_of(const char *group)
{
	char *end;
	unsigned long number = strtoul(group, &end, 10);
	const struct group *found = getgrnam(group);

	if (found != NULL)
		return found->gr_gid;
	if (*group == '\0' || *end != '\0') {
		fprintf(stderr, "service: no such group: %s\n", group);
		exit(2);
	}
	return (gid_t)number;
}

static void print(int file, const sendfd_info *info)
{
	char line[80] = "";
	struct stat status;

	/* A guest is a stranger: a pipe that it never writes to would hold the service up. */
	if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
		printf("user %u: not a file\n", info->uid);
		return;
	}
	if (pread(file, line, sizeof line - 1, 0) < 0) {
		printf("user %u: %s\n", info->uid, strerror(errno));
		return;
	}
	printf("user %u: %.*s\n", info->uid, (int)strcspn(line, "\n"), line);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	gid_t group = number_of(argv[1]);
	sendfd_inbox_options options = {
		.size = sizeof options,
		.flags = SENDFD_INBOX_NOSIGNAL,
		.gids = &group,
		.ngids = 1,
	};
	sendfd_inbox *inbox;
	if (sendfd_inbox_open_with(SENDFD_SIGNO, &options, &inbox) < 0) {
		perror("sendfd_inbox_open_with");
		return 1;
	}
	printf("service %d lets in group %u\n", (int)getpid(), group);
	fflush(stdout);

	for (;;) {
		sendfd_info info;
		int file = sendfd_recv(inbox, &info, NULL);

		if (file >= 0) {
			print(file, &info);
			fflush(stdout);
			close(file);
		} else if (errno == EMSGSIZE) {
			sendfd_discard(inbox, &info);
		} else if (errno != EINTR && errno != EPROTO) {
			break;
		}
	}
	perror("sendfd_recv");
	return 1;
}
