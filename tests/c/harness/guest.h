/* An inbox that lets in guests, and one of them. */
#ifndef GUEST_H
#define GUEST_H
#include "harness.h"

extern pid_t receiver;
extern uid_t guest; /* invited by its number, where somebody is */
extern char address[SENDFD_ADDRESS_MAX]; /* of the inbox that was opened last */

sendfd_inbox *open_to(const uid_t *uids, size_t nuids, const gid_t *gids, size_t ngids, unsigned flags);
sendfd_inbox *open_to_guest(unsigned flags);
int send_number(long number, long ms); /* to the receiver */
void sends_as_guest(void *uid); /* 7, which may wait, and 8, which does not have to */

static const unsigned KINDS[] = {0, SENDFD_INBOX_NOSIGNAL};
#define FOR_BOTH_KINDS(kind) for (size_t kind = 0; kind < sizeof KINDS / sizeof *KINDS; kind++)
#endif
