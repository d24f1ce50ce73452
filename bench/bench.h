/* Ways to hand a descriptor over, to be compared in one run. */
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* --- comparing: harness.c ----------------------------------------------------------------------------- */
/* Something that is done so many times. */
struct contender {
	const char *name;
	void (*run)(int times);
};

enum time_of { THIS_THREAD, THE_WALL };

/* They take turns, round by round, and what each takes is printed as one line of JSON, with its ratio to each of
 * the others in the same round: median and quartiles. `parameter` tells rows of a group apart. */
void compare(const char *group, const char *parameter, const struct contender *contenders, int count, int times,
	     enum time_of time_of);

/* One line of JSON for what is no comparison. */
void report(const char *group, const char *name, double value, const char *unit);

extern int rounds;       /* of each comparison */
extern int null_fd;      /* what is handed over */
double wall_ns(void);
bool may_open(int descriptors); /* raises the limit */

/* --- the ways, all within one thread -------------------------------------------------------------------- */
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
	hand_unnamed,   /* hand_quiet by a send that trusts the number of its socket */
	raw,            /* SCM_RIGHTS over a socketpair in an epoll set */
	raw_looked,     /* the same with a look before, so that a full table loses nothing */
	one_shot,       /* a connection for each descriptor */
	getfd;          /* a pipe that says which, and pidfd_getfd() */

/* --- groups: each prints its rows ------------------------------------------------------------------------- */
void one_parcel(void), sizes(void), taken(void), requests(void), many_links(void), in_turn(void), threads(void),
	first_contact(void), memory(void);

/* --- shared by those that make their own messages: common.c ----------------------------------------------- */
/* Ends the program with what the system says, unless ok. */
void must(bool ok, const char *what);

/* One message with descriptors. */
void send_all(int socket, const void *bytes, size_t len, const int *fds, int count);
void send_one(int socket, const void *bytes, size_t len, int fd);
/* The same with a name and a flag, which only a sequenced-packet socket ignores: it reaches no other that has got the
 * number. */
void send_to_packets(int socket, const void *bytes, size_t len, int fd);

/* The descriptors that come with a message, and its length. */
size_t receive_all(int socket, void *bytes, size_t size, int *fds, int count, int flags);
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
