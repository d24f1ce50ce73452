/* A receiver that does what it is told, and so what becomes of the parcels of an outbox. */
#ifndef RECEIVER_H
#define RECEIVER_H
#include "harness.h"

#define CLAIM 64u /* beside the library's flags: the receiver dequeues its own signals */
enum order { TAKE_ONE = 1, CLOSE, END, LOOK_ONLY, REOPEN };

struct child start_receiver(unsigned kind); /* it has opened its inbox */
void tell_receiver(struct child *child, long what); /* and has done it; to be joined after END */
void send_number_over(sendfd_outbox *outbox, long number);
#endif
