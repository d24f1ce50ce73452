/* A receiver's inboxes, and what it does with a parcel. */
#ifndef RECEIVER_H
#define RECEIVER_H

#include "soak.h"

#include <sys/signalfd.h>

struct box {
	sendfd_inbox *inbox;
	uint32_t index, slot;
	int signo;
	int signals; /* a signalfd, or -1 for sigtimedwait() */
};

/* inboxes.c */
void open_box(struct box *box, uint32_t slot, unsigned flags, uint32_t consumers);
void leave_box(struct box *box, enum cause cause); /* what is not taken from now on may be lost */
void box_is_gone(struct box *box);
void close_box(struct box *box, enum cause cause);
bool is_readable(const struct box *box);
void in_forked_child(struct box *boxes, uint32_t n, int sockets_before);

/* taking.c */
#define PATIENCE (20000 * MS)

extern atomic_bool hoarding; /* keep what comes until the table is full */
void release_hoard(void);
int receive_any(struct box *box, unsigned ms);
/* One signal, one claim, and the rest with sendfd_recvs(); false: nothing came for some ms. */
bool claim_next(struct box *box);

#endif
