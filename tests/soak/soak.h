/* What senders, receivers and the driver share: the board, and a log for each incarnation of a
 * process. Both are mapped files, so they outlive a SIGKILL. Times are of CLOCK_MONOTONIC, in ns.
 * layout.py reads the same, rust/src/paper.rs writes the sender's part of it. */
#ifndef SOAK_H
#define SOAK_H

#include <pthread.h>
#include <sendfd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS 7
#define MAX_INBOXES 65536
#define PAGE 4096
#define MS 1000000ULL

/* --- the board: who can be sent to ------------------------------------------------------------- */
enum cause { RUNNING, DRAINED, CLOSED, EXEC, EXIT, THREAD_END };

struct inbox_entry {
	_Atomic uint32_t pid, cause;
	uint32_t id, signo, slot, consumers;
	uint64_t t_open;           /* before it was opened */
	_Atomic uint64_t t_ready;  /* after */
	_Atomic uint64_t t_leave;  /* before its end */
	_Atomic uint64_t t_gone;   /* after it */
	uint64_t inode, start;     /* of the task: what its name is made of */
	char pad[128 - 72];
};

struct board {
	_Atomic uint32_t phase; /* 0 run, 1 senders end, 2 receivers end */
	_Atomic uint32_t inboxes;
	_Atomic uint64_t received;      /* descriptors */
	_Atomic uint32_t slot[SLOTS];   /* index of an inbox_entry plus 1 */
	uint32_t unused;
	_Atomic uint64_t told;          /* parcels through outboxes that were told of them */
	char pad[PAGE - 28 - 4 * SLOTS];
	struct inbox_entry inbox[MAX_INBOXES];
};

/* --- the log ------------------------------------------------------------------------------------- */
enum counter {
	N_EAGAIN, N_ETIMEDOUT, N_ECONNREFUSED, N_ESRCH, N_EMFILE, N_ETOOMANYREFS, N_OTHER,
	N_FORK, N_EXEC, N_EXIT, N_REOPEN, N_THREAD_END, N_FULL_TABLE, N_CLAIMED, N_NOTHING, N_OVERFLOW,
	N_TOLD_TAKEN, N_TOLD_LOST, N_ANSWERED, N_UNANSWERED,
	N_LINKS, /* the most links that were left at the end */
	COUNTERS
};

enum state { ABOUT = 1, SENT = 2 }; /* or a negative errno */
enum way { BY_ID, BY_PIDFD, BY_OUTBOX };
enum told { NOTHING, ALL_TAKEN, SOME_LOST }; /* of a session: all parcels that went through one outbox */

struct row_sent {
	uint64_t first; /* the numbers first, first + 1, ... */
	uint32_t count, len, inbox;
	_Atomic int32_t state;
	uint32_t thread, way;
	_Atomic uint64_t t0, t1; /* around the last attempt */
	uint32_t session;        /* of this sender; 0: no outbox */
	_Atomic uint32_t told;
	char pad[8];
};

struct row_taken {
	uint64_t first;
	uint32_t count, len, inbox, pid, uid;
	_Atomic uint32_t done;
	char pad[64 - 32];
};

struct log {
	uint32_t pid, kind;
	_Atomic uint32_t rows, next;
	uint64_t t_begin;
	_Atomic uint32_t ended, pad;
	_Atomic uint64_t counter[COUNTERS];
	char fill[PAGE - 32 - 8 * COUNTERS];
	union {
		struct row_sent sent[0];
		struct row_taken taken[0];
	};
};

_Static_assert(offsetof(struct board, told) == 48 && sizeof(struct inbox_entry) == 128, "layout.py");
_Static_assert(sizeof(struct row_sent) == 64 && sizeof(struct row_taken) == 64, "layout.py");

extern struct board *board;
extern struct log *logged;
extern const char *directory;
extern uint32_t number; /* of this incarnation */

#define MAX_ROWS 32768

void open_papers(const char *dir, const char *role, uint32_t base, uint32_t kind);
void next_log(const char *role, uint32_t kind); /* in a forked child */
uint32_t new_row(void);
bool log_is_full(void); /* almost */
static inline void count(enum counter which) { atomic_fetch_add(&logged->counter[which], 1); }
void count_errno(int error);

/* A violation: a line for the driver, which fails. */
void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now(void);
uint64_t dice(void); /* each thread has its own */
static inline uint32_t below(uint32_t n) { return (uint32_t)(dice() % n); }
static inline bool chance(uint32_t percent) { return below(100) < percent; }
void seed_dice(uint64_t seed);

/* Of /proc/self/fd, that of the search left out; -1 if the table is full. */
int descriptors(void);
int descriptors_that_are(const char *what);
int sockets_with_a_name(void);
void list_descriptors(const char *why);
void set_limit(int resource, unsigned long soft);

uint8_t data_byte(uint64_t first, uint32_t at);
void start_bare(void);          /* exec an image that only counts what it was left */
int bare(const char *dir);      /* that image */
void reap(bool wait);

#endif
