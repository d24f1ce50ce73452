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

/* What is refused while a path is armed. */
struct refusal {
	int number;  /* of the system call */
	int use;     /* which of its uses: 1 is the first; 0: each */
	int error;   /* 0: nothing is refused, calls are only counted */
};

#define CALLS 512
extern int calls_made[CALLS]; /* while armed */
extern bool was_refused;

/* Runs `work` in a thread whose calls pass by us; arm() and disarm() are for that thread. */
void supervise(const struct refusal *refusal, void (*work)(void));
void arm(void);
void disarm(void);
const char *call_name(int number); /* NULL: one that is never refused */
const int *errors_of(int number);  /* ends with 0 */

/* One way through the library. `act` gives what the call gave. */
struct path {
	const char *name, *function;
	void (*prepare)(void);
	int (*act)(void);
	void (*verify)(int result); /* nothing lost, nothing leaked; what failed works now */
};
extern const struct path PATHS[];
extern const size_t PATH_COUNT;

void wrong(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define NEED(condition)                                                                                       \
	do {                                                                                                  \
		if (!(condition))                                                                             \
			wrong("%s:%d: %s (%s)", __FILE__, __LINE__, #condition, strerrorname_np(errno));      \
	} while (0)
#endif
