/* What a parcel costs, beside other ways in the same run. Prints JSON, one line for each row.
 *   bench ROUNDS [GROUP ...]       all groups, or some
 *   bench WAY AT_ONCE PARCELS      one way alone, for strace and valgrind
 * Nothing here fails for being slow. */
#include "bench.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	void (*run)(void);
	bool on_one_processor;
} groups[] = {
	{"one", one_parcel, true},   {"sizes", sizes, true},           {"taken", taken, true},
	{"requests", requests, true}, {"links", many_links, true},      {"turn", in_turn, true},
	{"first", first_contact, true}, {"threads", threads, false},    {"memory", memory, true},
};
#define GROUPS (int)(sizeof groups / sizeof *groups)

static const struct way *const ways[] = {
	&sendfd_signals, &sendfd_quiet, &sendfd_claimed, &hand_signals, &hand_quiet, &hand_unnamed, &raw, &raw_looked, &one_shot,
	&getfd,
};
#define WAYS (int)(sizeof ways / sizeof *ways)
#define AT_ONCE_MOST 16

static int at_once;

static void run(const struct way *way, int parcels)
{
	int taken[AT_ONCE_MOST];

	for (int done = 0; done < parcels; done += at_once) {
		for (int i = 0; i < at_once; i++)
			way->put(null_fd);
		for (int i = 0; i < at_once; i++)
			taken[i] = way->take();
		for (int i = 0; i < at_once; i++)
			close(taken[i]);
	}
}

/* One function for each way, for a contender is told nothing but how often. */
#define RUNS(number) static void run_##number(int parcels) { run(ways[number], parcels); }
RUNS(0) RUNS(1) RUNS(2) RUNS(3) RUNS(4) RUNS(5) RUNS(6) RUNS(7) RUNS(8) RUNS(9)
static void (*const runs[WAYS])(int) = {run_0, run_1, run_2, run_3, run_4, run_5, run_6, run_7, run_8, run_9};

void one_parcel(void)
{
	struct contender contenders[WAYS];

	for (int way = 0; way < WAYS; way++) {
		ways[way]->set_up();
		contenders[way] = (struct contender){ways[way]->name, runs[way]};
	}
	for (at_once = 1; at_once <= AT_ONCE_MOST; at_once *= AT_ONCE_MOST)
		compare("one", at_once == 1 ? "1" : "16", contenders, WAYS, 480, THIS_THREAD);
}

/* On one processor, if that is allowed: a move in the midst of a round would only add noise. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof here, &here);
}

static bool is_wanted(const char *group, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], group) == 0)
			return true;
	return argc == 2;
}

int main(int argc, char **argv)
{
	cpu_set_t all;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(null_fd >= 0, "/dev/null");
	sched_getaffinity(0, sizeof all, &all);
	for (int way = 0; argc == 4 && way < WAYS; way++) {
		at_once = atoi(argv[2]);
		if (strcmp(argv[1], ways[way]->name) == 0 && at_once >= 1 && at_once <= AT_ONCE_MOST) {
			ways[way]->set_up();
			run(ways[way], atoi(argv[3]));
			return 0;
		}
	}
	if (argc < 2 || (rounds = atoi(argv[1])) < 4) {
		fprintf(stderr, "usage: bench ROUNDS [GROUP ...] | WAY AT_ONCE PARCELS\n");
		return 2;
	}
	for (int i = 0; i < GROUPS; i++) {
		if (!is_wanted(groups[i].name, argc, argv))
			continue;
		if (groups[i].on_one_processor)
			stay_here();
		groups[i].run();
		sched_setaffinity(0, sizeof all, &all);
	}
	return 0;
}
