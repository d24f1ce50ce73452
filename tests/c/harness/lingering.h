/* Senders of the last reference of a TCP socket that lingers, of which a close() takes as long as they have chosen. */
#ifndef LINGERING_H
#define LINGERING_H
#include "named.h"

#define AT_ONCE 1500 /* milliseconds that a call may take on a loaded machine */

struct way {
	uid_t uid;
	size_t len;   /* bytes on the wire; with 0, FIONREAD does not count the message */
	bool library; /* sent by it */
};
static const struct way PARCEL = {0, 16, true}, EMPTY = {0, 0, false}, LIE = {0, 15, false};

/* Sends a socket that lingers to the inbox that is named, and holds its other side until it is told to end. */
struct child lingerer(const struct way *way);
void forks_at_once(void);

#define CHECK_AT_ONCE(call)                                                                                   \
	do {                                                                                                  \
		long start_ = now_ms();                                                                       \
		call;                                                                                         \
		CHECK(now_ms() - start_ < AT_ONCE, #call " took %ld ms", now_ms() - start_);                  \
	} while (0)

static const unsigned FLAGS[] = {0, SENDFD_INBOX_NOSIGNAL};
#endif
