/* Ways to hand a descriptor over, all within one thread, to be compared in one run. */
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct way {
	const char *name;
	void (*set_up)(void);
	void (*put)(int fd); /* sends it */
	int (*take)(void);   /* receives one that waits */
};

extern const struct way
	sendfd_signals, /* the library, an inbox with signals */
	sendfd_quiet,   /* the library, an inbox without */
	sendfd_claimed, /* the library, for a program that dequeues its signals itself */
	hand_signals,   /* the system calls of sendfd_signals, written out */
	hand_quiet,     /* the same for sendfd_quiet */
	classic,        /* SCM_RIGHTS over a socketpair in an epoll set */
	one_shot,       /* a connection for each descriptor */
	in_turn;        /* the library, 1,000 inboxes without signals in turn */

/* Of an even number of values, which are sorted by it. */
double median(double *values, size_t count);

void table_of_requests(int fd);

/* Whether so many descriptors may be open. */
bool in_turn_is_possible(void);

/* Ends the program with what the system says, unless ok. */
void must(bool ok, const char *what);

/* Shared by the ways that make their own messages: one descriptor with len bytes. */
void send_one(int socket, const void *bytes, size_t len, int fd);

/* One descriptor that comes with a byte. */
int receive_one(int socket, int flags);

/* Sockets with an abstract name of this process. */
struct address {
	struct sockaddr_un un;
	socklen_t len;
};
struct address address_of(const char *name);
int listen_at(const struct address *at, bool credentials);
int connect_to(const struct address *at);
void pass_credentials(int socket);

/* An epoll set that watches a descriptor. */
int epoll_of(int fd);
void epoll_also(int epoll, int fd);

#endif
