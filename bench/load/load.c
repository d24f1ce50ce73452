/* load LIBRARY: what it takes to load it in a new process, in nanoseconds, and what it costs in private memory, in
 * bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double private_kb(void)
{
	char line[256];
	double sum = 0, kb;
	FILE *file = fopen("/proc/self/smaps_rollup", "re");

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "Private_Dirty: %lf kB", &kb) == 1)
			sum = kb;
	if (file)
		fclose(file);
	return sum;
}

int main(int argc, char **argv)
{
	double before = private_kb(), start, took;
	void *library;

	before = private_kb(); /* the first look has memory of its own */
	start = now_ns();
	library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	took = now_ns() - start;
	if (!library) {
		fprintf(stderr, "load: %s\n", argc == 2 ? dlerror() : "one library");
		return 1;
	}
	printf("%.0f %.0f\n", took, (private_kb() - before) * 1024);
	return 0;
}
