/* A receiver that does what it is told; see receiver.h. */
#include "receiver.h"

void send_number_over(sendfd_outbox *outbox, long number)
{
	int fd = make_memfd(number);
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	close(fd);
}

static int claim_one(sendfd_inbox *inbox)
{
	sigset_t set = set_of(S, SIGIO, 0);
	struct timespec limit = in_ms(10000);
	siginfo_t si;
	int fd = -EAGAIN;
	while (fd == -EAGAIN) {
		CHECK(sigtimedwait(&set, &si, &limit) > 0);
		fd = sendfd_claim(inbox, &si, NULL);
	}
	return CHECK_OK(fd);
}

/* Does what it is told. Opens its inbox first, unless it is told to wait with that. */
static void receiver(void *arg)
{
	unsigned kind = *(unsigned *)arg;
	sendfd_inbox *inbox = open_inbox(S, kind & ~CLAIM);
	parent_tell(0);
	for (long told; (told = parent_hear()) != END; parent_tell(0)) {
		if (told == TAKE_ONE)
			close(kind & CLAIM ? claim_one(inbox) : recv_soon(inbox, NULL));
		else if (told == LOOK_ONLY)
			CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE);
		else if (told == CLOSE || told == REOPEN)
			sendfd_inbox_close(inbox);
		if (told == REOPEN)
			inbox = open_inbox(S, kind & ~CLAIM);
	}
}

struct child start_receiver(unsigned kind)
{
	static unsigned arg;
	arg = kind;
	struct child child = fork_child(receiver, &arg);
	child_hear(&child);
	return child;
}

void tell_receiver(struct child *child, long what)
{
	child_tell(child, what);
	child_hear(child);
}
