/* Taking parcels: by the book, with every descriptor looked at. */
#include "receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NO_DATA ((const uint8_t *)NULL)

atomic_bool hoarding;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int hoard[4096];
static uint32_t hoarded;
static const struct timespec none;
static _Thread_local int fds[SENDFD_MAX_FDS];
static _Thread_local uint8_t bytes[SENDFD_MAX_DATA];

void release_hoard(void)
{
	atomic_store(&hoarding, false);
	pthread_mutex_lock(&lock);
	while (hoarded > 0)
		close(hoard[--hoarded]);
	pthread_mutex_unlock(&lock);
}

static void keep_or_close(const int *of, uint32_t n)
{
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < n; i++) {
		if (atomic_load(&hoarding) && hoarded < 4096)
			hoard[hoarded++] = of[i];
		else
			close(of[i]);
	}
	pthread_mutex_unlock(&lock);
}

static uint64_t number_in(int fd)
{
	uint64_t holds;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		fault("descriptor %d is not close-on-exec", fd);
	if (pread(fd, &holds, sizeof holds, 0) == sizeof holds)
		return holds;
	fault("descriptor %d is foreign: it holds no number: %s", fd, strerror(errno));
	return 0;
}

/* A parcel of `n` descriptors is ours now. Only what is in order becomes a row. */
static void take(struct box *box, const int *got, uint32_t n, const uint8_t *data, const sendfd_info *info)
{
	uint64_t first = number_in(got[0]);
	for (uint32_t i = 1; i < n; i++) {
		uint64_t holds = number_in(got[i]);
		if (holds != first + i)
			fault("descriptor %u of a parcel of %u holds %#lx, the first %#lx", i, n, holds, first);
	}
	if (info->nfds != n || info->signo != box->signo || info->len > SENDFD_MAX_DATA)
		fault("%u descriptors, but info says nfds %u signo %d len %u", n, info->nfds, info->signo, info->len);
	for (uint32_t at = 0; data && at < info->len; at++) {
		if (data[at] != data_byte(first, at)) {
			fault("parcel %#lx: byte %u of %u is wrong", first, at, info->len);
			break;
		}
	}
	struct row_taken *row = &logged->taken[new_row()];
	row->first = first, row->count = n, row->len = info->len;
	row->inbox = box->index, row->pid = (uint32_t)info->pid, row->uid = info->uid;
	atomic_store(&row->done, 1);
	atomic_fetch_add(&board->received, n);
	keep_or_close(got, n);
}

/* A parcel without descriptors: a question, whose answer is the same, in bytes and in a descriptor. */
static void answer(const uint8_t *data, const sendfd_info *info)
{
	if (info->reply < 0) {
		fault("a bare parcel of %u bytes from %d: nobody sends such", info->len, info->pid);
		return;
	}
	int fd = chance(90) ? memfd_create("soak", MFD_CLOEXEC) : -1;
	if (fd >= 0 && pwrite(fd, data, info->len, 0) == (ssize_t)info->len) {
		errno = 0;
		int r = sendfd_reply(info->reply, &fd, 1, data, info->len);
		if (r < 0 && r != -EPIPE && r != -ETOOMANYREFS)
			fault("an answer gives %s", strerror(-r));
	}
	if (fd >= 0)
		close(fd);
	close(info->reply);
}

/* Nothing was taken: why? */
static void none_taken(int r)
{
	if (r != -errno)
		fault("a call gives %d with errno %d", r, errno);
	if (r == -EMFILE) {
		count(N_EMFILE);
		release_hoard();
		sched_yield();
	} else if (r == -EAGAIN || r == -ETIMEDOUT || r == -EINTR) { /* it was stopped */
		count(N_NOTHING);
	} else {
		fault("receiving gives %s", strerror(-r));
	}
}

int receive_any(struct box *box, unsigned ms)
{
	struct timespec timeout = {ms / 1000, (long)(ms % 1000) * 1000000};
	sendfd_info info = {0};
	errno = 0;
	int r = sendfd_recvs(box->inbox, fds, SENDFD_MAX_FDS, bytes, sizeof bytes, &info, &timeout);
	if (r > 0)
		take(box, fds, (uint32_t)r, bytes, &info);
	else if (r == 0)
		answer(bytes, &info);
	else
		none_taken(r);
	return r;
}

/* --- signals that the program dequeues itself ------------------------------------------------------ */
static int claim(struct box *box, unsigned ms, sendfd_info *info)
{
	int signo;
	if (box->signals >= 0) {
		struct signalfd_siginfo got;
		struct pollfd poller = {box->signals, POLLIN, 0};
		if (poll(&poller, 1, (int)ms) <= 0 || read(box->signals, &got, sizeof got) != sizeof got)
			return -ETIMEDOUT;
		signo = (int)got.ssi_signo;
		errno = 0;
		int r = sendfd_claim_signalfd(box->inbox, &got, info);
		if (signo == SIGIO)
			count(N_OVERFLOW);
		return r;
	}
	sigset_t set;
	siginfo_t got;
	struct timespec timeout = {ms / 1000, (long)(ms % 1000) * 1000000};
	sigemptyset(&set);
	sigaddset(&set, box->signo);
	sigaddset(&set, SIGIO);
	/* KERNEL: EINTR also after a stop. */
	while ((signo = sigtimedwait(&set, &got, &timeout)) < 0 && errno == EINTR)
		;
	if (signo < 0)
		return -ETIMEDOUT;
	errno = 0;
	int r = sendfd_claim(box->inbox, &got, info);
	if (signo == SIGIO)
		count(N_OVERFLOW);
	return r;
}

bool claim_next(struct box *box)
{
	sendfd_info info = {0};
	int r = claim(box, 20, &info);
	if (r == -ETIMEDOUT) {
		if (!is_readable(box))
			return false;
		/* Readable without a signal: one that is on its way, or the end of a link. */
		r = claim(box, 1000, &info);
	}
	if (r == -ETIMEDOUT) {
		errno = 0;
		r = receive_any(box, 0);
		if (r >= 0)
			fault("there was mail, but no signal in a second");
		return r >= 0;
	}
	if (r >= 0) {
		count(N_CLAIMED);
		take(box, &r, 1, NO_DATA, &info);
	} else if (r != -EMSGSIZE) {
		none_taken(r);
	} else {
		/* It stays, and other links' mail comes first; but it comes. */
		sendfd_info next = {0};
		do {
			errno = 0;
			r = sendfd_recvs(box->inbox, fds, SENDFD_MAX_FDS, bytes, sizeof bytes, &next, &none);
			if (r > 0)
				take(box, fds, (uint32_t)r, bytes, &next);
			else if (r == 0)
				answer(bytes, &next);
			else
				none_taken(r);
		} while (r >= 0 && next.id != info.id);
		if (r == -EAGAIN)
			fault("EMSGSIZE told of %u descriptors from %d, but they are not there", info.nfds, info.pid);
		if (r >= 0 && (next.nfds != info.nfds || next.pid != info.pid || next.len != info.len))
			fault("EMSGSIZE told of %u descriptors from %d, but it is %u from %d", info.nfds, info.pid,
			      next.nfds, next.pid);
	}
	return true;
}
