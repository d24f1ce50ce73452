/* What the ways through the library have in common. */
#ifndef WAYS_H
#define WAYS_H
#include "refusal.h"

#include <sendfd.h>
#include <signal.h>
#include <time.h>

#define S SENDFD_SIGNO

extern const struct timespec NOW, SOON, BRIEFLY;

extern pid_t peer;
extern int to_peer, from_peer;
extern int before; /* descriptors of this process, when the path began */

int count_fds(void);
uint64_t mask_now(void);
void set_of_both(sigset_t *set); /* S and SIGIO */

/* Parcels can be told apart: each is a file that holds a number. */
int numbered(int number);
int number_of(int fd); /* closes it */

/* Another process, which does as it is told through a pipe; nothing of its own is refused. */
void start_peer(void (*part)(int from, int to));
void end_peer(void);
void tell(int fd, int value);
int hear(int fd);

/* A peer that sends to its parent the numbers that it is told; 0: ends. */
void peer_sends(int from, int to);
void have_sent(int number);

/* An inbox of this process; what was before it is to be there after it. */
extern sendfd_inbox *inbox;
void note_before(void);
void take(int number);
void close_and_compare(void);
void compare(void);

/* A directory of this case's own, in which inboxes listen that are opened from now on. */
void make_directory(void);
const char *directory(void);
int files_in_directory(void);
void remove_directory(void); /* with what is in it */
#endif
