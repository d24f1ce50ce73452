/* A sender: parcels of numbered memfds to whoever stands on the board, until it is told to end, ends
 * itself, becomes another image, or is killed.    sender DIR KIND BASE SEED */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum kind { ONE_THREAD, FOUR_THREADS, SMALL_TABLE, OUTBOXES };

static const struct {
	uint32_t threads, table;
} kinds[] = {{1, 4096}, {4, 4096}, {1, 48}, {4, 4096}};

struct target {
	uint32_t inbox;
	pid_t id;
	int signo;
};

static uint32_t kind;
static int begun_with, sockets_begun_with;
static atomic_bool leave;
static _Atomic uint8_t contacted[2][MAX_INBOXES];
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER; /* held while it is full on purpose */

static bool ending(void) { return atomic_load(&leave) || atomic_load(&board->phase) > 0 || log_is_full(); }

static bool pick(struct target *to)
{
	for (int tries = 0; tries < 3 * SLOTS; tries++) {
		uint32_t index = atomic_load(&board->slot[below(SLOTS)]);
		if (index == 0)
			continue;
		struct inbox_entry *entry = &board->inbox[index - 1];
		*to = (struct target){index - 1, (pid_t)entry->id, (int)entry->signo};
		return true;
	}
	return false;
}

static uint64_t number_of(uint32_t sequence) { return (uint64_t)number << 32 | sequence; }

static int make_memfd(uint64_t holds)
{
	int fd = memfd_create("soak", MFD_CLOEXEC);
	if (fd >= 0 && pwrite(fd, &holds, sizeof holds, 0) != sizeof holds)
		fault("pwrite: %s", strerror(errno));
	return fd;
}

static uint32_t batch(void)
{
	uint32_t room = (kinds[kind].table - 16) / kinds[kind].threads;
	uint32_t most = chance(40) ? 1 : chance(50) ? 16 : SENDFD_MAX_FDS;
	return 1 + below(most < room ? most : room);
}

static uint32_t length(void) { return chance(30) ? 0 : chance(45) ? below(257) : below(SENDFD_MAX_DATA + 1); }

static const struct timespec *patience(void)
{
	static const struct timespec none, some = {0, 1000000}, long_one = {0, 50000000};
	return chance(40) ? &none : chance(60) ? &some : chance(96) ? &long_one : NULL;
}

static int open_pidfd(const struct target *to)
{
	int fd = (int)syscall(SYS_pidfd_open, to->id, 0);
	return fd >= 0 || (errno != EINVAL && errno != ENOENT)
	           ? fd
	           : (int)syscall(SYS_pidfd_open, to->id, O_EXCL /* PIDFD_THREAD */);
}

/* Whether another attempt makes sense. */
static bool may_pass(int error)
{
	switch (error) {
	case EAGAIN: case ETIMEDOUT: case EMFILE: case ENFILE: case ETOOMANYREFS: case ENOMEM: case ENOBUFS:
		return true;
	case ECONNREFUSED: case ESRCH:
		return false;
	default:
		fault("a send gives %s", strerror(error));
		return false;
	}
}

static void send_parcel(const struct target *to, const int *fds, uint32_t n, uint64_t first, uint32_t thread)
{
	static _Thread_local uint8_t data[SENDFD_MAX_DATA];
	uint32_t len = length();
	for (uint32_t at = 0; at < len; at++)
		data[at] = data_byte(first, at);
	bool single = n == 1 && len == 0 && chance(80);
	int pidfd = single && chance(30) ? open_pidfd(to) : -1;

	struct row_sent *row = &logged->sent[new_row()];
	row->first = first, row->count = n, row->len = len, row->inbox = to->inbox;
	row->thread = thread, row->way = pidfd >= 0 ? BY_PIDFD : BY_ID;
	atomic_store(&contacted[pidfd >= 0][to->inbox], 1);
	for (int tries = 0; tries < 3; tries++) {
		atomic_store(&row->t0, now());
		atomic_store(&row->state, ABOUT);
		errno = 0;
		int r = pidfd >= 0 ? sendfd_pidfd(pidfd, to->signo, fds[0])
		      : single     ? sendfd(to->id, to->signo, fds[0])
		                   : sendfds(to->id, to->signo, fds, n, data, len, patience());
		int error = errno;
		atomic_store(&row->t1, now());
		atomic_store(&row->state, r == 0 ? SENT : r);
		if (r == 0)
			break;
		if (r > 0 || error != -r)
			fault("a send gives %d with errno %d", r, error);
		count_errno(-r);
		if (!may_pass(-r))
			break;
		sched_yield();
	}
	if (pidfd >= 0)
		close(pidfd);
}

/* --- outboxes ------------------------------------------------------------------------------------ */
static const struct timespec *some_patience(void)
{
	static const struct timespec none, some = {0, 2000000}, long_one = {0, 50000000};
	return chance(30) ? &none : chance(70) ? &some : &long_one;
}

/* Whatever a call on an outbox may give without anything being wrong. */
static void expect(int error, const char *what)
{
	switch (error) {
	case EPIPE: case ECONNRESET: case ECONNREFUSED: case ESRCH:
		break;
	default:
		if (!may_pass(error))
			fault("%s gives %s", what, strerror(error));
	}
	count_errno(error);
}

/* The answer is what was asked, and one descriptor that holds it. */
static bool ask(sendfd_outbox *outbox)
{
	uint64_t question = dice(), answer = 0, holds = 0;
	int fd;
	errno = 0;
	int r = sendfd_outbox_request(outbox, NULL, 0, &question, sizeof question, &fd, 1, &answer, sizeof answer,
	                              NULL, some_patience());
	if (r < 0) {
		count(N_UNANSWERED);
		expect(-r, "a request");
		return false;
	}
	count(N_ANSWERED);
	if (r != 1 || answer != question)
		fault("a request for %#lx is answered by %#lx with %d descriptors", question, answer, r);
	else if (pread(fd, &holds, sizeof holds, 0) != sizeof holds || holds != question)
		fault("the answer to %#lx has a foreign descriptor", question);
	if (r == 1)
		close(fd);
	return true;
}

static bool send_through(sendfd_outbox *outbox, const struct target *to, uint32_t session, struct row_sent **ret_row)
{
	int fds[3], r;
	uint32_t wanted = 1 + below(3), n = 0, sequence = atomic_fetch_add(&logged->next, wanted);
	while (n < wanted && (fds[n] = make_memfd(number_of(sequence + n))) >= 0)
		n++;
	*ret_row = NULL;
	if (n == 0)
		return true;
	struct row_sent *row = *ret_row = &logged->sent[new_row()];
	row->first = number_of(sequence), row->count = n, row->len = 0, row->inbox = to->inbox;
	row->thread = 0, row->way = BY_OUTBOX, row->session = session;
	atomic_store(&row->t0, now());
	atomic_store(&row->state, ABOUT);
	errno = 0;
	r = sendfd_outbox_send(outbox, fds, n, NULL, 0, some_patience());
	atomic_store(&row->t1, now());
	atomic_store(&row->state, r == 0 ? SENT : r);
	if (r < 0)
		expect(-r, "a send through an outbox");
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
	return r != -EPIPE;
}

/* Parcels through one outbox, a question now and then, and what is told of them in the end. */
static void hold_a_session(void)
{
	static atomic_uint sessions;
	struct row_sent *rows[40];
	struct target to;
	sendfd_outbox *outbox;
	uint32_t sent = 0;
	bool all_answered = true;
	if (!pick(&to))
		return;
	uint32_t session = atomic_fetch_add(&sessions, 1) + 1;
	int r = sendfd_outbox_open(to.id, to.signo, some_patience(), &outbox);
	if (r < 0) {
		expect(-r, "opening an outbox");
		sched_yield();
		return;
	}
	for (uint32_t left = 1 + below(40); left > 0 && !ending(); left--) {
		if (chance(15))
			all_answered = ask(outbox) && all_answered;
		if (!send_through(outbox, &to, session, &rows[sent]))
			left = 1;
		sent += rows[sent] != NULL;
	}
	do
		r = sendfd_outbox_wait_taken(outbox, some_patience());
	while (r == -EINTR);
	if (r < 0)
		expect(-r, "waiting for taken");
	/* A question may be what is lost. */
	uint32_t told = r == 0 ? ALL_TAKEN : r == -ECONNRESET && all_answered ? SOME_LOST : NOTHING;
	for (uint32_t i = 0; i < sent; i++)
		atomic_store(&rows[i]->told, told);
	if (told) {
		count(told == ALL_TAKEN ? N_TOLD_TAKEN : N_TOLD_LOST);
		atomic_fetch_add(&board->told, sent);
	}
	sendfd_outbox_close(outbox);
}

static void make_and_send(uint32_t thread)
{
	int fds[SENDFD_MAX_FDS];
	struct target to;
	if (kind == OUTBOXES)
		return hold_a_session();
	if (chance(10))
		hold_a_session();
	if (!pick(&to)) {
		usleep(1000);
		return;
	}
	uint32_t wanted = batch(), n = 0;
	uint32_t sequence = atomic_fetch_add(&logged->next, wanted);
	while (n < wanted && (fds[n] = make_memfd(number_of(sequence + n))) >= 0)
		n++;
	if (n < wanted)
		count_errno(errno);
	if (n > 0)
		send_parcel(&to, fds, n, number_of(sequence), thread);
	else
		sched_yield();
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
}

/* --- in between ---------------------------------------------------------------------------------- */
static void begin(void)
{
	begun_with = descriptors();
	sockets_begun_with = descriptors_that_are("socket:");
	memset(contacted, 0, sizeof contacted);
}

/* Names of inboxes that more links lead to than one by id and one by pidfd. */
static void check_links(void)
{
	static struct sockaddr_un names[512];
	int n = 0;
	for (int fd = 3; fd < (int)kinds[kind].table && n < 512; fd++) {
		struct sockaddr_un name = {0};
		socklen_t len = sizeof name;
		int same = 0;
		if (getpeername(fd, (struct sockaddr *)&name, &len) < 0)
			continue;
		for (int i = 0; i < n; i++)
			same += memcmp(&names[i], &name, sizeof name) == 0;
		names[n++] = name;
		if (same > 1)
			fault("%d links to %s", same + 1, name.sun_path + 1);
	}
}

/* Nothing may be left but one link for each way to a recipient. */
static void check_descriptors(void)
{
	check_links();
	int all = descriptors(), links = descriptors_that_are("socket:") - sockets_begun_with, peers = 0;
	for (uint32_t i = 0; i < 2 * MAX_INBOXES; i++)
		peers += contacted[0][i];
	if (all != begun_with + links || links > peers)
		list_descriptors("at the end of a sender");
	atomic_store(&logged->counter[N_LINKS], (uint64_t)links);
	atomic_store(&logged->ended, 1);
}

static void fill_table_and_send(void)
{
	static int filled[4096];
	int n = 0, memfd;
	struct target to;
	pthread_mutex_lock(&table);
	uint32_t sequence = atomic_fetch_add(&logged->next, 1);
	if (pick(&to) && (memfd = make_memfd(number_of(sequence))) >= 0) {
		set_limit(RLIMIT_NOFILE, kinds[kind].table < 64 ? kinds[kind].table : 64);
		while (n < 4096 && (filled[n] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
			n++;
		count(N_FULL_TABLE);
		send_parcel(&to, &memfd, 1, number_of(sequence), 0);
		while (n > 0)
			close(filled[--n]);
		set_limit(RLIMIT_NOFILE, kinds[kind].table);
		close(memfd);
	}
	pthread_mutex_unlock(&table);
}

static void fork_one(void)
{
	reap(false);
	pthread_mutex_lock(&table);
	uint64_t seed = dice();
	pid_t pid = fork();
	pthread_mutex_unlock(&table);
	if (pid == 0) {
		seed_dice(seed);
		if (chance(30))
			start_bare();
		next_log("sender", 100 + kind);
		begin();
		for (uint32_t left = below(30); left > 0 && !ending(); left--)
			make_and_send(0);
		check_descriptors();
		_exit(0);
	}
	if (pid > 0)
		count(N_FORK);
	if (chance(30))
		reap(true);
}

static void become_another(const char *dir)
{
	char text[3][24];
	snprintf(text[0], sizeof text[0], "%u", kind);
	snprintf(text[1], sizeof text[1], "%u", number);
	snprintf(text[2], sizeof text[2], "%llu", (unsigned long long)dice());
	count(N_EXEC);
	execl("/proc/self/exe", "sender", dir, text[0], text[1], text[2], (char *)NULL);
	fault("execl: %s", strerror(errno));
	_exit(4);
}

static void *other_thread(void *which)
{
	seed_dice((uint64_t)number * 64 + (uintptr_t)which);
	while (!ending())
		make_and_send((uint32_t)(uintptr_t)which);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "bare") == 0)
		return bare(argv[2]);
	if (argc != 5)
		return 2;
	const char *dir = argv[1];
	kind = (uint32_t)atoi(argv[2]);
	seed_dice(strtoull(argv[4], NULL, 10));
	set_limit(RLIMIT_NOFILE, kinds[kind].table);
	open_papers(dir, "sender", (uint32_t)atoi(argv[3]), kind);
	begin();

	pthread_t threads[4];
	for (uintptr_t i = 1; i < kinds[kind].threads; i++)
		pthread_create(&threads[i], NULL, other_thread, (void *)i);
	bool another = false;
	uint64_t next = now() + below(100) * MS;
	while (!ending()) {
		make_and_send(0);
		if (now() < next)
			continue;
		next = now() + (5 + below(100)) * MS;
		uint32_t what = below(100);
		if (what < 30)
			fill_table_and_send();
		else if (what < 75)
			fork_one();
		else if (what < 80)
			become_another(dir); /* in the midst of it */
		else if (what < 93)
			atomic_store(&leave, (another = true));
		else
			atomic_store(&leave, true);
	}
	another |= log_is_full() && atomic_load(&board->phase) == 0;
	atomic_store(&leave, true);
	for (uint32_t i = 1; i < kinds[kind].threads; i++)
		pthread_join(threads[i], NULL);
	reap(true);
	check_descriptors();
	if (another)
		become_another(dir);
	count(N_EXIT);
	return 0;
}
