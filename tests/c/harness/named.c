/* An inbox of which the tests know the name; see named.h. */
#include "named.h"

pid_t target;
char name[64];

sendfd_inbox *open_named(unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	target = getpid();
	inbox_name(target, S, name, sizeof name);
	return inbox;
}
