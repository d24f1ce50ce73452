/* Refusing system calls of one thread, one at a time. */
#ifndef REFUSAL_H
#define REFUSAL_H
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What looks like an older kernel, to every process of a case. Each lacks what those before it lack. */
enum machine { THIS_KERNEL, NO_PIDFS, NO_PEERPIDFD, NO_PIDFD_OPEN, MACHINES };
extern const char *const MACHINE_NAMES[MACHINES];

/* What is refused while a path is armed. */
struct refusal {
	int number;    /* of the system call */
	int use;       /* which of its uses: 1 is the first */
	bool and_more; /* and all after it */
	int error;     /* 0: nothing is refused, calls are only counted */
};

#define CALLS 512
/* Their own numbers, among the calls, for what fails in ways of its own: getsockopt(SO_PEERPIDFD), and
 * epoll_ctl(EPOLL_CTL_ADD), the only operation that takes memory. */
#define PEERPIDFD (CALLS - 1)
#define EPOLL_ADD (CALLS - 2)

const char *call_name(int number); /* NULL: one that is never refused */
const int *errors_of(int number);  /* ends with 0 */
bool can_last(int error);          /* from some use on for good */
bool is_exempt(int number);        /* it cannot fail, or is the C library's */

extern int calls_made[CALLS]; /* while armed */
extern bool was_refused;
extern int unknown_call; /* one was made that is neither in the table nor exempt */

/* Runs `work` in a thread whose calls pass by us; arm() and disarm() are for that thread. */
void supervise(enum machine machine, const struct refusal *refusal, void (*work)(void));
bool lacks(enum machine machine, int number);
void arm(void);
void disarm(void);

/* One way through the library. `act` gives what the call gave. */
struct path {
	const char *name, *function;
	void (*prepare)(void);
	int (*act)(void);
	void (*verify)(int result); /* nothing lost, nothing leaked; what failed works now */
	/* OLD_TOO: on older kernels even in a short run, for it differs there */
	enum { ALWAYS = 0, NEEDS_ROOT = 1, NEEDS_PIDFD = 2, OLD_TOO = 4 } when;
};
extern const struct path SENDING[], RECEIVING[], LIFETIME[], ASKING[]; /* each ends with a name of NULL */

bool is_refused_with(int error); /* in this case */
void wrong(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define NEED(condition)                                                                                       \
	do {                                                                                                  \
		if (!(condition))                                                                             \
			wrong("%s:%d: %s (%s)", strrchr("/" __FILE__, '/') + 1, __LINE__, #condition,         \
			      strerrorname_np(errno));                                                        \
	} while (0)
#endif
