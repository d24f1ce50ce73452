/* Senders of sockets that linger; see lingering.h. */
#include "lingering.h"

static void sends(void *arg)
{
	const struct way *way = arg;
	int other, fd = lingering_socket(&other);
	if (way->uid)
		become(way->uid);
	if (way->library) {
		CHECK_OK(sendfd(target, S, fd));
	} else {
		int link = raw_connect(name);
		CHECK(link >= 0, "%s", errno_name(-link));
		struct wire wire = WIRE(1, 0);
		CHECK_EQ(raw_send(link, &wire, way->len, &fd, 1), 0);
	}
	close(fd); /* now the queue has the last reference */
	parent_tell(0);
	parent_hear();
	_exit(0);
}
struct child lingerer(const struct way *way)
{
	struct child child = fork_child(sends, (void *)way);
	child_hear(&child);
	return child;
}

void forks_at_once(void)
{
	pid_t pid = -1;
	CHECK_AT_ONCE(pid = fork());
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(0);
	CHECK(exited_well(pid));
}
