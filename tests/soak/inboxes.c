/* Inboxes and what the board says of them. */
#include "receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t inode_of_task(bool thread)
{
	pid_t id = thread ? gettid() : getpid();
	int fd = (int)syscall(SYS_pidfd_open, id, thread ? O_EXCL /* PIDFD_THREAD */ : 0);
	struct stat st = {0};
	if (fd < 0 || fstat(fd, &st) < 0)
		st.st_ino = 0;
	if (fd >= 0)
		close(fd);
	return st.st_ino;
}

static uint64_t start_of_task(uint32_t id)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%u/stat", id);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = 0;
	const char *at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	unsigned long long start = 0;
	if (at)
		sscanf(at, " %llu", &start);
	return start;
}

void open_box(struct box *box, uint32_t slot, unsigned flags, uint32_t consumers)
{
	uint32_t index = atomic_fetch_add(&board->inboxes, 1);
	bool thread = flags & SENDFD_INBOX_THREAD;
	struct inbox_entry *entry = &board->inbox[index];
	box->index = index, box->slot = slot;
	box->signo = chance(60) ? 40 + (int)slot : SIGRTMIN + (int)below((uint32_t)(SIGRTMAX - SIGRTMIN + 1));
	entry->id = (uint32_t)(thread ? gettid() : getpid());
	entry->signo = (uint32_t)box->signo, entry->slot = slot, entry->consumers = consumers;
	release_hoard();
	entry->inode = inode_of_task(thread);
	entry->start = start_of_task(entry->id);
	entry->t_open = now();
	atomic_store(&entry->pid, (uint32_t)getpid());
	int r;
	/* Other threads fill the table meanwhile. */
	while ((r = sendfd_inbox_open(box->signo, flags, &box->inbox)) == -EMFILE && now() < entry->t_open + PATIENCE) {
		count(N_EMFILE);
		release_hoard();
		sched_yield();
	}
	if (r < 0) {
		fault("sendfd_inbox_open(%d, %u): %s", box->signo, flags, strerror(-r));
		_exit(5);
	}
	atomic_store(&entry->t_ready, now());
	atomic_store(&board->slot[slot], index + 1);
}

void leave_box(struct box *box, enum cause cause)
{
	struct inbox_entry *entry = &board->inbox[box->index];
	atomic_store(&entry->t_leave, now());
	atomic_store(&entry->cause, cause);
	atomic_store(&board->slot[box->slot], 0);
}

void box_is_gone(struct box *box) { atomic_store(&board->inbox[box->index].t_gone, now()); }

void close_box(struct box *box, enum cause cause)
{
	leave_box(box, cause);
	sendfd_inbox_close(box->inbox);
	box_is_gone(box);
	box->inbox = NULL;
}

bool is_readable(const struct box *box)
{
	struct pollfd poller = {sendfd_inbox_fileno(box->inbox), POLLIN, 0};
	return poll(&poller, 1, 0) == 1;
}

void in_forked_child(struct box *boxes, uint32_t n, int sockets_before)
{
	static const struct timespec none;
	if (sockets_with_a_name() != sockets_before)
		list_descriptors("a forked child has sockets of its parent's");
	for (uint32_t i = 0; i < n; i++) {
		int fds[1];
		int r = sendfd_recvs(boxes[i].inbox, fds, 1, NULL, 0, NULL, &none);
		if (r != -EPERM)
			fault("sendfd_recvs() in a forked child gives %d", r);
		sendfd_inbox_close(boxes[i].inbox);
	}
}
