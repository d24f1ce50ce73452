/* Directories in which an inbox listens, and a sender who has no other way to it. */
#ifndef DIRECTORIES_H
#define DIRECTORIES_H
#include "harness.h"

#include <limits.h>

/* For a mount namespace with a directory that is nobody else's, and the network of a container. */
#define NEEDS ROOT | NET_NAMESPACE
#define MNT "/mnt"

char *file_in(const char *directory, char *path); /* the socket's of this process; gives path[PATH_MAX] back */
int files_in(const char *directory);
bool is_socket(const char *path);
/* Bound to permissions like a user, and yet able to start children elsewhere. */
void without_power_over_files(void);

void sends_from_elsewhere(void *pid); /* for a child, which tells the result */
int send_from_elsewhere(void); /* to this process */
void arrives(sendfd_inbox *inbox);
void is_unreachable(void);
void is_open_without(sendfd_inbox *inbox); /* but for senders of this network namespace; closes it */
#endif
