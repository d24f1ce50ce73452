/* A sender that knows its receivers by pid alone: it hands each connection that it accepts to the
 * next worker in turn. A full worker is passed over (EAGAIN), one that has gone or has closed its
 * inbox is dropped (ESRCH, ECONNREFUSED).
 * Usage: acceptor [-p PORT] PID... */
#include <arpa/inet.h>
#include <errno.h>
#include <sendfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t *workers;
static int nworkers, turn;

static int die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_on(int port)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&at, 0, sizeof at);
	at.sin_family = AF_INET;
	at.sin_port = htons((in_port_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(listener, (struct sockaddr *)&at, len) < 0 || listen(listener, SOMAXCONN) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &len) < 0)
		die("listen");
	printf("acceptor %d listens on 127.0.0.1 port %d\n", (int)getpid(), ntohs(at.sin_port));
	fflush(stdout);
	return listener;
}

static void drop(int index, const char *why)
{
	printf("worker %d is dropped: %s\n", (int)workers[index], why);
	fflush(stdout);
	nworkers--;
	memmove(&workers[index], &workers[index + 1], (size_t)(nworkers - index) * sizeof *workers);
}

/* 0, or -1 when nobody could take it. */
static int hand_over(int connection)
{
	const struct timespec moment = {0, 100000000};

	for (int tries = 0; tries < 10 * nworkers; tries++) {
		pid_t worker = workers[turn %= nworkers];
		int result;

		/* When all are full, wait for room: a moment for each, for one may be stopped. */
		if (tries < nworkers)
			result = sendfd(worker, SENDFD_SIGNO, connection);
		else
			result = sendfds(worker, SENDFD_SIGNO, &connection, 1, NULL, 0, &moment);

		switch (-result) {
		case 0:
			turn++;
			return 0;
		case EAGAIN:
		case ETIMEDOUT:
			turn++;
			break;
		case ESRCH:
		case ECONNREFUSED:
			drop(turn, strerror(errno));
			break;
		default:
			return -1;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	int option, listener, port = 0;

	while ((option = getopt(argc, argv, "p:")) == 'p')
		port = atoi(optarg);
	nworkers = argc - optind;
	workers = calloc((size_t)nworkers + 1, sizeof *workers);
	if (option != -1 || nworkers == 0 || !workers) {
		fprintf(stderr, "usage: acceptor [-p PORT] PID...\n");
		return 2;
	}
	for (int i = 0; i < nworkers; i++)
		workers[i] = atoi(argv[optind + i]);

	listener = listen_on(port);
	while (nworkers > 0) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0 && errno != EINTR && errno != ECONNABORTED)
			die("accept4");
		if (connection < 0)
			continue;
		if (hand_over(connection) < 0)
			perror("nobody took a connection");
		/* Theirs now; or nobody's, and the client sees its end. */
		close(connection);
	}
	fprintf(stderr, "no workers are left\n");
	return 1;
}
