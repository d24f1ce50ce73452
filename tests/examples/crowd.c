/* Makes many requests at once and prints the answers as they come.
 * Usage: crowd PORT COUNT */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	char got[512];
	size_t len;
};

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static int request(int port)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct sockaddr_in at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&at, 0, sizeof at);
	at.sin_family = AF_INET;
	at.sin_port = htons((in_port_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0, "connect");
	must(write(fd, get, sizeof get - 1) == (ssize_t)(sizeof get - 1), "write");
	return fd;
}

/* True once the server has closed the connection, after a whole answer. */
static int is_answered(int fd, struct client *client)
{
	ssize_t got = read(fd, client->got + client->len, sizeof client->got - 1 - client->len);
	const char *body;

	must(got >= 0, "read");
	client->len += (size_t)got;
	if (got > 0)
		return 0;
	body = strstr(client->got, "\r\n\r\n");
	must(body && strncmp(client->got, "HTTP/1.1 200 OK\r\n", 17) == 0, "no whole answer");
	fputs(body + 4, stdout);
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0, left = count;
	struct client *clients = calloc((size_t)count, sizeof *clients);
	struct pollfd *polled = calloc((size_t)count, sizeof *polled);

	must(count > 0 && clients && polled, "crowd PORT COUNT");
	for (int i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = request(atoi(argv[1])), .events = POLLIN};
	while (left > 0) {
		must(poll(polled, (nfds_t)count, -1) > 0, "poll");
		for (int i = 0; i < count; i++) {
			if (polled[i].revents && is_answered(polled[i].fd, &clients[i])) {
				close(polled[i].fd);
				polled[i].fd = -1;
				left--;
			}
		}
	}
	return 0;
}
