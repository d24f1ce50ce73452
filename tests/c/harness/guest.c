/* An inbox that lets in guests; see guest.h. */
#include "guest.h"

pid_t receiver;
uid_t guest;
char address[SENDFD_ADDRESS_MAX];

sendfd_inbox *open_to(const uid_t *uids, size_t nuids, const gid_t *gids, size_t ngids, unsigned flags)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .directory = ""};
	options.uids = uids, options.nuids = nuids, options.gids = gids, options.ngids = ngids;
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	receiver = getpid();
	return inbox;
}

sendfd_inbox *open_to_guest(unsigned flags)
{
	guest = lonely_uid();
	return open_to((uid_t[]){1, guest, 2}, 3, NULL, 0, flags);
}

int send_number(long number, long ms)
{
	struct timespec limit = in_ms(ms);
	int fd = make_memfd(number), sent = sendfds(receiver, S, &fd, 1, NULL, 0, &limit);
	close(fd);
	return sent;
}

void sends_as_guest(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	CHECK_OK(send_number(8, 0));
}
