/* tests/bench/load/meter.h - how long things took, and what another process used. */
#ifndef SHOAL_TESTS_BENCH_METER_H
#define SHOAL_TESTS_BENCH_METER_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Times in microseconds; zero-initialised is empty. */
struct times {
	uint32_t *us;
	size_t n, cap;
};
void times_add(struct times *t, uint64_t us);
void times_reset(struct times *t);
void times_free(struct times *t);
/* The value that this part (0.5, 0.99) of them does not exceed, in milliseconds; 0 without any. Sorts them. */
double times_ms(struct times *t, double part);

struct usage {
	uint64_t rss_kib;
	uint64_t anon_kib; /* of it, memory that is no file's */
	uint64_t cpu_us;
};
/* Of a process, from /proc. */
struct usage usage_of(pid_t pid);
#endif
