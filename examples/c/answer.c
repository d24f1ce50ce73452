/* A received connection is used like one of our own making. Only its flags are common to both
 * processes: it blocks if the acceptor's does. So the time that a silent client may take has its
 * limit in the socket. */
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Reads up to the empty line; false when the client falls silent or sends something else. */
static int read_request(int connection)
{
	char request[4096];
	size_t len = 0;

	while (len < sizeof request - 1) {
		ssize_t got = recv(connection, request + len, sizeof request - 1 - len, 0);

		if (got <= 0)
			return 0;
		len += (size_t)got;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return strncmp(request, "GET ", 4) == 0;
	}
	return 0;
}

void answer(int connection, pid_t worker, const sendfd_info *info)
{
	const struct timeval patience = {5, 0};
	char line[80], response[256];
	int len;

	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (read_request(connection)) {
		len = snprintf(line, sizeof line, "worker %d answered, accepted by %d\n", (int)worker,
			       (int)info->pid);
		len = snprintf(response, sizeof response,
			       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
			       "Connection: close\r\n\r\n%s", len, line);
		send(connection, response, (size_t)len, MSG_NOSIGNAL);
	}
	close(connection);
}

int may_go_on(sendfd_inbox *inbox, int error, const sendfd_info *info)
{
	switch (error) {
	case EAGAIN: /* nothing there, or the signal announced nothing */
	case EINTR:  /* a signal handler ran */
	case EPROTO: /* one peer speaks another protocol version, and is shut out now */
		return 1;
	case EMSGSIZE: /* not one descriptor: nothing for us */
	case EACCES:   /* a security module keeps it from us */
		return sendfd_discard(inbox, info) == 0;
	case EMFILE: /* no room for the parcel; or, with an id of 0, for a sender's connection */
	case ENFILE:
		return info->id != 0 && sendfd_discard(inbox, info) == 0;
	default:
		return 0;
	}
}
