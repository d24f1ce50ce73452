/* What a parcel costs, as ratios between ways that take turns within one run:
 *   bench                          the table
 *   bench WAY AT_ONCE PARCELS      one way alone, for strace and profilers
 * Nothing here fails for being slow. */
#include "bench.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 300
#define PARCELS 480 /* of each way in a round */
#define AT_ONCE_MOST 16
#define TARGET_HAND 1.05
#define TARGET_ONE_SHOT 0.45

enum { SIGNALS, QUIET, CLAIMED, HAND_SIGNALS, HAND_QUIET, CLASSIC, ONE_SHOT, WAYS, IN_TURN = WAYS, ALL };

static const struct way *const ways[ALL] = {
	&sendfd_signals, &sendfd_quiet, &sendfd_claimed, &hand_signals, &hand_quiet, &classic, &one_shot, &in_turn,
};

static void run(const struct way *way, int at_once, int parcels, int fd)
{
	int taken[AT_ONCE_MOST];

	for (int done = 0; done < parcels; done += at_once) {
		for (int i = 0; i < at_once; i++)
			way->put(fd);
		for (int i = 0; i < at_once; i++)
			taken[i] = way->take();
		for (int i = 0; i < at_once; i++)
			close(taken[i]);
	}
}

/* Of this thread alone: what else runs on the machine is not counted. */
static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double times[ALL][ROUNDS];

static double median_time(int way)
{
	double copy[ROUNDS];

	memcpy(copy, times[way], sizeof copy);
	return median(copy, ROUNDS) / PARCELS;
}

/* The ratio within each round, so that a change of the machine's pace hits both sides. */
static double median_ratio(int way, int to)
{
	double ratios[ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		ratios[round] = times[way][round] / times[to][round];
	return median(ratios, ROUNDS);
}

/* The ways from the first one on. */
static void measure(int first, int past, int at_once, int fd)
{
	for (int round = -ROUNDS / 10; round < ROUNDS; round++) {
		for (int i = first; i < past; i++) {
			/* Every other round goes backwards. */
			int way = round % 2 ? first + past - 1 - i : i;
			double start = now_ns();

			run(ways[way], at_once, PARCELS, fd);
			if (round >= 0)
				times[way][round] = now_ns() - start;
		}
	}
}

static int missed;

static void row(const char *name, int at_once, int way, int hand)
{
	double to_hand = median_ratio(way, hand), to_one_shot = median_ratio(way, ONE_SHOT);

	missed += (to_hand > TARGET_HAND) + (to_one_shot > TARGET_ONE_SHOT);
	printf("%-18s%8d%10.0f%10.3f %-7s%9.2f%12.2f %s\n", name, at_once, median_time(way), to_hand,
	       to_hand > TARGET_HAND ? "missed" : "met", median_ratio(way, CLASSIC), to_one_shot,
	       to_one_shot > TARGET_ONE_SHOT ? "missed" : "met");
}

static void table(int fd)
{
	printf("sendfd() and sendfd_recv() to ourselves; medians of %d rounds, ratios within a round\n\n",
	       ROUNDS);
	printf("%-18s%8s%10s%18s%9s%19s\n", "", "", "", "ratio to the", "ratio to", "ratio to a new");
	printf("%-18s%8s%10s%18s%9s%19s\n", "inbox", "at once", "ns each", "calls by hand", "classic",
	       "connection each");
	for (int at_once = 1; at_once <= AT_ONCE_MOST; at_once *= AT_ONCE_MOST) {
		measure(0, WAYS, at_once, fd);
		row("signals", at_once, SIGNALS, HAND_SIGNALS);
		row("signals, claimed", at_once, CLAIMED, HAND_SIGNALS);
		row("quiet", at_once, QUIET, HAND_QUIET);
	}
	printf("\ntargets: at most %.2f by hand, at most %.2f of a new connection each: ", TARGET_HAND,
	       TARGET_ONE_SHOT);
	printf(missed ? "%d of 12 missed\n" : "all met\n", missed);
	printf("by hand: C that makes the same system calls. classic: SCM_RIGHTS over a ready socketpair,\n"
	       "epoll, no credentials, descriptors lost when the table is full.\n");
}

static void table_of_recipients(int fd)
{
	printf("\n1,000 recipients in turn: ");
	if (!in_turn_is_possible()) {
		printf("skipped, RLIMIT_NOFILE is too low\n");
		return;
	}
	in_turn.set_up();
	measure(CLASSIC, ALL, 1, fd);
	printf("%.0f ns each, %.2f of classic to one, %.2f of a new connection each\n", median_time(IN_TURN),
	       median_ratio(IN_TURN, CLASSIC), median_ratio(IN_TURN, ONE_SHOT));
}

/* On one processor, if that is allowed: a move in the midst of a round would only add noise. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof here, &here);
}

int main(int argc, char **argv)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int at_once = argc == 4 ? atoi(argv[2]) : 1;

	must(fd >= 0, "/dev/null");
	stay_here();
	for (int way = 0; argc == 4 && way < ALL && at_once >= 1 && at_once <= AT_ONCE_MOST; way++) {
		if (strcmp(argv[1], ways[way]->name) == 0) {
			ways[way]->set_up();
			run(ways[way], at_once, atoi(argv[3]), fd);
			return 0;
		}
	}
	if (argc != 1) {
		fprintf(stderr, "usage: bench [WAY AT_ONCE PARCELS]\n");
		return 2;
	}
	for (int way = 0; way < WAYS; way++)
		ways[way]->set_up();
	table(fd);
	table_of_recipients(fd);
	table_of_requests(fd);
	return 0;
}
