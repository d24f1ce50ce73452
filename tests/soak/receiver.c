/* A receiver of one of four kinds. It keeps table and signal queue small on purpose, and in between
 * forks, closes and reopens, ends threads, becomes another image.    receiver DIR KIND BASE SEED */
#include "receiver.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum kind { SIGNALS, SIGNALFD, QUIET, THREADS };
#define CONSUMERS 4

static uint32_t kind;
static struct box boxes[CONSUMERS]; /* THREADS has four, the others one */
static pthread_t threads[CONSUMERS];
static atomic_bool leave[CONSUMERS];
static atomic_uint opened;
static atomic_bool counted; /* `when_open` is known: taking may begin */
static _Atomic uint32_t cause = CLOSED;
static int base, base_sockets, when_open;
static sigset_t mask;

static uint32_t box_count(void) { return kind == THREADS ? CONSUMERS : 1; }
static bool ending(void) { return atomic_load(&board->phase) > 1 || log_is_full(); }

/* --- threads --------------------------------------------------------------------------------------- */
static bool has_signals(uint32_t which) { return which < 2; }

static void *thread_with_inbox(void *arg)
{
	uint32_t which = (uint32_t)(uintptr_t)arg;
	struct box *box = &boxes[which];
	seed_dice((uint64_t)now() + which);
	box->signals = -1;
	open_box(box, 3 + which, SENDFD_INBOX_THREAD | (has_signals(which) ? 0 : SENDFD_INBOX_NOSIGNAL), 1);
	atomic_fetch_add(&opened, 1);
	while (!atomic_load(&counted))
		sched_yield();
	while (!atomic_load(&leave[which])) {
		if (which == 0)
			claim_next(box);
		else
			receive_any(box, 20);
	}
	if (atomic_load(&cause) == THREAD_END && has_signals(which))
		leave_box(box, THREAD_END);
	else
		close_box(box, atomic_load(&cause));
	return NULL;
}

static void *thread_of_quiet(void *arg)
{
	uint32_t which = (uint32_t)(uintptr_t)arg;
	seed_dice((uint64_t)now() + which);
	while (!atomic_load(&leave[which]))
		receive_any(&boxes[0], 20);
	return NULL;
}

static void start_thread(uint32_t which)
{
	atomic_store(&leave[which], false);
	int error = pthread_create(&threads[which], NULL, kind == QUIET ? thread_of_quiet : thread_with_inbox,
	                           (void *)(uintptr_t)which);
	if (error)
		fault("pthread_create: %s", strerror(error));
}

static void stop_thread(uint32_t which)
{
	atomic_store(&leave[which], true);
	pthread_join(threads[which], NULL);
}

static void end_one_thread(void)
{
	static const struct timespec none;
	uint32_t which = below(CONSUMERS);
	int fds[1];
	atomic_store(&cause, chance(70) ? THREAD_END : CLOSED);
	stop_thread(which);
	if (boxes[which].inbox) { /* its thread left it open */
		box_is_gone(&boxes[which]);
		int r = sendfd_recvs(boxes[which].inbox, fds, 1, NULL, 0, NULL, &none);
		if (r != -EPERM)
			fault("the inbox of a thread that has ended gives %d", r);
		sendfd_inbox_close(boxes[which].inbox);
		boxes[which].inbox = NULL;
	}
	atomic_store(&cause, CLOSED);
	count(N_THREAD_END);
	uint32_t before = atomic_load(&opened);
	start_thread(which);
	while (atomic_load(&opened) == before)
		sched_yield();
}

/* --- opening and closing --------------------------------------------------------------------------- */
static void open_all(void)
{
	sigset_t set;
	boxes[0].signals = -1;
	if (kind != THREADS) {
		open_box(&boxes[0], kind, kind == QUIET ? SENDFD_INBOX_NOSIGNAL : 0, kind == QUIET ? CONSUMERS : 1);
		when_open = descriptors();
	}
	if (kind == SIGNALFD) {
		sigemptyset(&set);
		sigaddset(&set, boxes[0].signo);
		sigaddset(&set, SIGIO);
		boxes[0].signals = signalfd(-1, &set, SFD_CLOEXEC);
		when_open++;
	}
	for (uint32_t i = 0; kind >= QUIET && i < CONSUMERS; i++)
		start_thread(i);
	if (kind == THREADS) {
		while (atomic_load(&opened) < CONSUMERS)
			sched_yield();
		when_open = descriptors();
		atomic_store(&counted, true);
	}
}

static void check_count(int wanted, const char *when)
{
	int have = descriptors();
	if (have != wanted) {
		fault("%d descriptors %s, %d were right", have, when, wanted);
		list_descriptors(when);
	}
}

static void close_all(enum cause why)
{
	release_hoard();
	atomic_store(&cause, why);
	for (uint32_t i = 0; kind >= QUIET && i < CONSUMERS; i++)
		stop_thread(i);
	release_hoard();
	if (boxes[0].signals >= 0)
		close(boxes[0].signals);
	if (boxes[0].inbox)
		close_box(&boxes[0], why);
	check_count(base, "after close");
	sigset_t have, pending;
	pthread_sigmask(SIG_SETMASK, NULL, &have);
	sigpending(&pending);
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		if (sigismember(&have, signo) != sigismember(&mask, signo))
			fault("signal %d: the mask is not what it was before the inbox", signo);
	if (sigismember(&pending, boxes[0].signo) == 1)
		fault("signal %d is pending after close", boxes[0].signo);
}

/* Until every sender's mail is taken, and every link to it closed. */
static void drain(void)
{
	uint64_t deadline = now() + PATIENCE;
	release_hoard();
	for (bool idle = false; !idle;) {
		if (kind >= QUIET)
			usleep(1000);
		else
			claim_next(&boxes[0]);
		release_hoard();
		idle = descriptors() == when_open;
		for (uint32_t i = 0; i < box_count(); i++)
			idle = idle && !is_readable(&boxes[i]);
		if (!idle && now() > deadline) {
			check_count(when_open, "with all senders gone");
			fault("does not come to rest");
			return;
		}
	}
}

/* --- in between ------------------------------------------------------------------------------------ */
static void reopen(void)
{
	count(N_REOPEN);
	close_all(CLOSED);
	open_all();
}

static void fork_one(void)
{
	reap(false);
	pid_t pid = fork();
	if (pid == 0) {
		in_forked_child(boxes, box_count(), base_sockets);
		if (chance(50))
			start_bare();
		_exit(0);
	}
	if (pid > 0)
		count(N_FORK);
	if (chance(50))
		reap(true);
}

static void become_another(const char *dir)
{
	char text[3][24];
	snprintf(text[0], sizeof text[0], "%u", kind);
	snprintf(text[1], sizeof text[1], "%u", number);
	snprintf(text[2], sizeof text[2], "%llu", (unsigned long long)dice());
	for (uint32_t i = 0; i < box_count(); i++)
		leave_box(&boxes[i], EXEC);
	count(N_EXEC);
	execl("/proc/self/exe", "receiver", dir, text[0], text[1], text[2], (char *)NULL);
	fault("execl: %s", strerror(errno));
	_exit(4);
}

static void do_something(const char *dir)
{
	uint32_t what = below(100);
	if (what < 45) {
		count(N_FULL_TABLE);
		atomic_store(&hoarding, true);
	} else if (what < 75) {
		fork_one();
	} else if (what < 90 && kind == THREADS) {
		end_one_thread();
	} else if (what < 86) {
		reopen();
	} else if (what < 90) { /* while the child may not have run yet */
		fork_one();
		reopen();
	} else if (what < 94) {
		become_another(dir);
	} else if (what < 96) {
		fork_one();
		become_another(dir);
	} else {
		for (uint32_t i = 0; i < box_count(); i++)
			leave_box(&boxes[i], EXIT);
		count(N_EXIT);
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "bare") == 0)
		return bare(argv[2]);
	if (argc != 5)
		return 2;
	kind = (uint32_t)atoi(argv[2]);
	seed_dice(strtoull(argv[4], NULL, 10));
	set_limit(RLIMIT_NOFILE, kind < QUIET ? 320 : 420);
	set_limit(RLIMIT_SIGPENDING, 8);
	open_papers(argv[1], "receiver", (uint32_t)atoi(argv[3]), kind);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	base = descriptors();
	base_sockets = sockets_with_a_name();
	open_all();
	uint64_t next = now() + below(200) * MS;
	while (!ending()) {
		if (kind >= QUIET)
			usleep(2000);
		else
			claim_next(&boxes[0]);
		if (now() < next || atomic_load(&board->phase) > 0)
			continue;
		next = now() + (20 + below(200)) * MS;
		do_something(argv[1]);
	}
	if (atomic_load(&board->phase) < 2)
		become_another(argv[1]);
	reap(true);
	drain();
	close_all(DRAINED);
	atomic_store(&logged->ended, 1);
	return 0;
}
