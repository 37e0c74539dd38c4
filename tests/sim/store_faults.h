/* tests/sim/store_faults.h - the n-th call fails: a sweep over the SQLite store. See sim_store.c. */
#ifndef SHOAL_TESTS_STORE_FAULTS_H
#define SHOAL_TESTS_STORE_FAULTS_H
#include <stdbool.h>

/* Puts a failing allocator under SQLite; before anything else calls it. */
void store_faults_prepare(void);
/* The whole sweep, or only that kind ("read", "malloc", ...), over so many stories of so many steps; sparse: not for each
 * n. What went wrong, and how often each kind of fault was met, is printed. */
bool store_faults(const char *only, unsigned stories, unsigned steps, bool sparse);
#endif
