/* Measures contenders that take turns, and prints what they take. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MOST_CONTENDERS 16
#define MOST_ROUNDS 1000

int rounds = 200, null_fd;

static double times_of[MOST_CONTENDERS][MOST_ROUNDS];

static double read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double wall_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int by_size(const void *left, const void *right)
{
	double l = *(const double *)left, r = *(const double *)right;

	return (l > r) - (l < r);
}

/* The values come sorted. */
static double quantile(const double *values, double part)
{
	return values[(int)((rounds - 1) * part + 0.5)];
}

static void print(const char *group, const char *parameter, const struct contender *contenders, int count, int it,
		  int times)
{
	double values[MOST_ROUNDS];

	memcpy(values, times_of[it], sizeof values);
	qsort(values, (size_t)rounds, sizeof *values, by_size);
	printf("{\"group\": \"%s\", \"parameter\": \"%s\", \"name\": \"%s\", \"ns\": %.1f, \"to\": {", group,
	       parameter, contenders[it].name, quantile(values, 0.5) / times);
	for (int to = 0; to < count; to++) {
		/* Within each round, so that a change of the machine's pace hits both sides. */
		for (int round = 0; round < rounds; round++)
			values[round] = times_of[it][round] / times_of[to][round];
		qsort(values, (size_t)rounds, sizeof *values, by_size);
		printf("%s\"%s\": [%.4f, %.4f, %.4f]", to ? ", " : "", contenders[to].name,
		       quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75));
	}
	printf("}}\n");
}

void compare(const char *group, const char *parameter, const struct contender *contenders, int count, int times,
	     enum time_of time_of)
{
	const clockid_t clock = time_of == THIS_THREAD ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;

	must(count <= MOST_CONTENDERS && rounds <= MOST_ROUNDS, "room");
	for (int round = -rounds / 10 - 1; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			/* Every other round goes backwards. */
			int it = round % 2 ? count - 1 - i : i;
			double start = read_clock(clock);

			contenders[it].run(times);
			if (round >= 0)
				times_of[it][round] = read_clock(clock) - start;
		}
	}
	for (int it = 0; it < count; it++)
		print(group, parameter, contenders, count, it, times);
	fflush(stdout);
}

void report(const char *group, const char *name, double value, const char *unit)
{
	printf("{\"group\": \"%s\", \"name\": \"%s\", \"value\": %.2f, \"unit\": \"%s\"}\n", group, name, value, unit);
	fflush(stdout);
}

bool may_open(int descriptors)
{
	struct rlimit files;

	must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
	files.rlim_cur = files.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
	return files.rlim_max >= (rlim_t)descriptors;
}
