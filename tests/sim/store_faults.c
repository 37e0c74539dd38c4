/* tests/sim/store_faults.c - what a store says when the n-th call fails, and what it knows afterwards. */
#include "tests/sim/store_faults.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/crash_disk.h"
#include "tests/sim/story.h"
#include "tracker/store_sqlite.h"

enum { MENDED_AFTER = 3 };

/* -- an allocator under SQLite that can fail */
struct allocator {
	sqlite3_mem_methods own;
	unsigned nth, calls, failed;
	bool for_ever;
};

/* SQLite's configuration is the process's: so is what stands behind it. */
static struct allocator *allocator(void)
{
	static struct allocator a;
	return &a;
}

static bool out_of_memory(void)
{
	struct allocator *a = allocator();
	if (a->nth == 0)
		return false;
	a->calls++;
	bool now = a->calls == a->nth || (a->for_ever && a->calls > a->nth);
	a->failed += now;
	return now;
}

static void *fail_malloc(int size)
{
	return out_of_memory() ? NULL : allocator()->own.xMalloc(size);
}

static void *fail_realloc(void *p, int size)
{
	return out_of_memory() ? NULL : allocator()->own.xRealloc(p, size);
}

void store_faults_prepare(void)
{
	struct allocator *a = allocator();
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &a->own) != SQLITE_OK)
		abort();
	sqlite3_mem_methods mine = a->own;
	mine.xMalloc = fail_malloc;
	mine.xRealloc = fail_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &mine) != SQLITE_OK)
		abort();
}

/* -- one run */
enum { FAULT_MALLOC = CRASH_CALLS, FAULT_TRY, FAULTS };
static const char *const fault_words[FAULTS] = { "read",   "write",  "flush",  "truncation",
	                                         "open",   "delete", "malloc", "allocation" };

struct sweep {
	struct crash_fault fault;  /* call: one of FAULTS */
	enum { WORKING, OPENING, MAKING } when; /* it comes while the store works, is opened, is made */
	unsigned steps;
	bool sparse;               /* not each n: ever fewer of the large ones */
	struct crash_disk *disk;
	struct store *store;
	struct story story;
	uint64_t met[FAULTS], disk_full, io, busy, lost, cuts, runs;
	char failure[500];
};

static bool fail(struct sweep *w, const char *what, const struct error *e)
{
	if (w->failure[0] == '\0')
		snprintf(w->failure, sizeof(w->failure), "%s: %.400s", what, e != NULL ? e->message : "");
	return false;
}

static void arm(struct sweep *w)
{
	struct allocator *a = allocator();
	if (w->fault.call < CRASH_CALLS)
		crash_disk_fail(w->disk, &w->fault);
	a->calls = a->failed = 0;
	a->for_ever = w->fault.for_ever;
	a->nth = (int)w->fault.call == FAULT_MALLOC ? w->fault.nth : 0;
	w->story.fail_try = (int)w->fault.call == FAULT_TRY ? w->fault.nth : 0;
	mem_fail_after(w->when == WORKING ? 0 : w->story.fail_try);
}

static void mend(struct sweep *w)
{
	w->met[w->fault.call] += crash_disk_failed(w->disk) + allocator()->failed;
	crash_disk_fail(w->disk, &(struct crash_fault){ 0 });
	allocator()->nth = allocator()->failed = 0;
	mem_fail_after(0);
	w->story.fail_try = 0;
}

/* How many have failed since arm(). A try_* call tells nobody. */
static unsigned failed(const struct sweep *w)
{
	return crash_disk_failed(w->disk) + allocator()->failed;
}

static bool knows(struct sweep *w, struct store *st, const struct facts *a, const struct facts *b, const char *when)
{
	struct facts got;
	struct error e = { 0 };
	char text[300];

	if (story_read(st, &got, &e) != SHOAL_OK)
		return fail(w, when, &e);
	if (memcmp(&got, a, sizeof(got)) == 0)
		return true;
	if (b != NULL && memcmp(&got, b, sizeof(got)) == 0) {
		w->story.now = got;
		return true;
	}
	story_difference(&got, a, text, sizeof(text));
	error_set(&e, SHOAL_EINTEGRITY, "%s", text);
	return fail(w, when, &e);
}

/* The power goes now: what was acknowledged is on the disk, also after a flush that failed. */
static bool survives_a_cut(struct sweep *w, const struct facts *other)
{
	const struct facts mine = w->story.now;
	unsigned nth = allocator()->nth;
	struct crash_cut cut = { .events = crash_disk_events(w->disk), .sector = 512, .seed = w->fault.nth,
		                 .kind = w->cuts % 2 == 0 ? CRASH_NOTHING : CRASH_ANY };
	struct crash_disk *left = crash_disk_cut(w->disk, &cut);
	struct store *st = NULL;
	struct error e = { 0 };

	allocator()->nth = 0;
	crash_disk_mount(left);
	bool ok = store_sqlite_ops.open("t.db", &st, &e) == SHOAL_OK || fail(w, "after a power cut", &e);
	ok = ok && knows(w, st, &mine, other, "after a power cut");
	store_sqlite_ops.close(st);
	crash_disk_mount(w->disk);
	crash_disk_free(left);
	allocator()->nth = nth;
	w->story.now = mine;
	w->cuts++;
	return ok;
}

/* The process ends without a word and starts again: the disk is what it was. */
static bool start_again(struct sweep *w, const struct facts *other)
{
	struct error e = { 0 };
	if (!survives_a_cut(w, other))
		return false;
	store_sqlite_ops.close(w->store);
	w->store = NULL;
	if (store_sqlite_ops.open("t.db", &w->store, &e) != SHOAL_OK)
		return fail(w, "cannot be opened again", &e);
	return knows(w, w->store, &w->story.now, other, "opened again");
}

static bool probe(struct sweep *w)
{
	struct facts after;
	struct error e = { 0 };
	if (story_probe(&w->story, w->store, &after, &e) != SHOAL_OK)
		return fail(w, "the probe fails on a good disk", &e);
	w->story.now = after;
	return true;
}

/* A step failed: nothing has changed, or the store says that it cannot tell. */
static bool after_failure(struct sweep *w, enum shoal_err rc, const struct facts *after, bool mended)
{
	w->disk_full += rc == SHOAL_EDISKFULL;
	w->io += rc == SHOAL_EIO;
	w->busy += rc == SHOAL_EBUSY;
	w->lost += rc == SHOAL_EINTERNAL;
	if (rc != SHOAL_EDISKFULL && rc != SHOAL_EIO && rc != SHOAL_EBUSY && rc != SHOAL_EINTERNAL)
		return fail(w, "a wrong kind of answer", &(struct error){ .message = "" });
	if (rc == SHOAL_EDISKFULL && !w->fault.full)
		return fail(w, "no disk is full", NULL);
	if (rc == SHOAL_EINTERNAL) {
		mend(w);
		return start_again(w, after);
	}
	return !mended || (probe(w) && knows(w, w->store, &w->story.now, NULL, "after a failure"));
}

static bool work(struct sweep *w)
{
	unsigned failures = 0;
	for (unsigned i = 0; i < w->steps; i++) {
		struct facts after;
		enum story_kind kind;
		struct error e = { 0 };
		unsigned before = failed(w);
		uint64_t versions = w->story.versions;
		enum shoal_err rc = story_step(&w->story, w->store, &after, &kind, &e);
		if (rc == SHOAL_OK) {
			w->story.now = after;
			if (failed(w) != before && !survives_a_cut(w, NULL))
				return false;
			continue;
		}
		w->story.versions = versions + 1000;
		bool mended = !w->fault.for_ever || ++failures == MENDED_AFTER;
		if (mended)
			mend(w);
		if (failed(w) == 0 && !mended && (int)w->fault.call != FAULT_TRY)
			return fail(w, "a step failed without a fault", &e);
		if (!after_failure(w, rc, &after, mended))
			return false;
	}
	return true;
}

/* Opening fails with the reason, and never calls a good database damaged. */
static bool open_badly(struct sweep *w)
{
	struct error e = { 0 };
	arm(w);
	enum shoal_err rc = store_sqlite_ops.open("t.db", &w->store, &e);
	mend(w);
	if (rc == SHOAL_OK)
		return true;
	bool unreadable = rc == SHOAL_EINTEGRITY && w->fault.call == CRASH_READ;
	if (rc != SHOAL_EIO && rc != SHOAL_EBUSY && rc != SHOAL_EDISKFULL && !unreadable)
		return fail(w, "a good database is refused", &e);
	if (store_sqlite_ops.open("t.db", &w->store, &e) != SHOAL_OK)
		return fail(w, "cannot be opened once it works again", &e);
	return true;
}

static bool live_a_little(struct sweep *w)
{
	struct error e = { 0 };
	for (unsigned i = 0; i < 4; i++) {
		struct facts after;
		enum story_kind kind;
		if (story_step(&w->story, w->store, &after, &kind, &e) != SHOAL_OK)
			return fail(w, "a step failed on a good disk", &e);
		w->story.now = after;
	}
	return true;
}

/* As kill -9 leaves it: with a WAL. */
static void killed(struct sweep *w)
{
	struct crash_cut cut = { .events = crash_disk_events(w->disk), .kind = CRASH_ALL, .sector = 512 };
	struct crash_disk *left = crash_disk_cut(w->disk, &cut);
	store_sqlite_ops.close(w->store);
	w->store = NULL;
	crash_disk_mount(left);
	crash_disk_free(w->disk);
	w->disk = left;
}

static bool begin_run(struct sweep *w)
{
	struct error e = { 0 };
	if (w->when == MAKING)
		return open_badly(w);
	if (store_sqlite_ops.open("t.db", &w->store, &e) != SHOAL_OK)
		return fail(w, "cannot be made", &e);
	if (w->when == WORKING) {
		arm(w);
		return work(w);
	}
	bool ok = live_a_little(w);
	killed(w);
	return ok && open_badly(w);
}

/* *more: the fault was met, so there may be one at the next call. */
static bool one_run(struct sweep *w, uint64_t seed, bool *more)
{
	uint64_t met = w->met[w->fault.call];

	w->disk = crash_disk_new();
	w->story = (struct story){ .dice = seed };
	crash_disk_mount(w->disk);
	bool ok = begin_run(w);
	mend(w);
	ok = ok && survives_a_cut(w, NULL) && start_again(w, NULL) && probe(w);
	store_sqlite_ops.close(w->store);
	w->store = NULL;
	crash_disk_mount(NULL);
	crash_disk_free(w->disk);
	w->runs++;
	*more = w->met[w->fault.call] != met;
	return ok;
}

/* n = 1, 2, ... until nothing is left that could fail. A try_* call says nothing: as many as the store makes. */
static bool sweep(struct sweep *w, uint64_t seed)
{
	static const char *const when[] = { "", ", at the start", ", at the very first start" };
	for (bool more = true; more; w->fault.nth += 1 + (w->sparse ? w->fault.nth / 8 : 0)) {
		if (!one_run(w, seed, &more)) {
			printf("FAIL %s %u%s%s%s, story %" PRIu64 ": %s\n", fault_words[w->fault.call], w->fault.nth,
			       w->fault.for_ever ? " and all later" : "", w->fault.full ? ", full" : "",
			       when[w->when], seed, w->failure);
			return false;
		}
		if ((int)w->fault.call == FAULT_TRY)
			more = w->fault.nth < 12;
	}
	return true;
}

static bool sweep_all(struct sweep *w, enum crash_call call, uint64_t seed)
{
	for (unsigned ever = 0; ever < 2; ever++)
		for (unsigned full = 0; full < (call == CRASH_WRITE ? 2 : 1); full++) {
			w->fault = (struct crash_fault){ .call = call, .nth = 1, .for_ever = ever == 1, .full = full == 1 };
			for (w->when = WORKING; w->when <= MAKING; w->when++) {
				w->fault.nth = 1;
				if (!sweep(w, seed))
					return false;
			}
		}
	return true;
}

bool store_faults(const char *only, unsigned stories, unsigned steps, bool sparse)
{
	struct sweep *w = xalloc(sizeof(*w));
	bool ok = true;

	w->steps = steps;
	w->sparse = sparse;
	for (uint64_t seed = 1; ok && seed <= stories; seed++)
		for (unsigned call = 0; ok && call < FAULTS; call++)
			if (only == NULL || strcmp(only, fault_words[call]) == 0)
				ok = sweep_all(w, call, seed);
	printf("# sometimes: runs %" PRIu64, w->runs);
	for (unsigned call = 0; call < FAULT_TRY; call++)
		printf(" %s %" PRIu64, fault_words[call], w->met[call]);
	printf(" disk_full %" PRIu64 " io %" PRIu64 " busy %" PRIu64 " lost %" PRIu64 " cuts %" PRIu64 "\n", w->disk_full,
	       w->io, w->busy, w->lost, w->cuts);
	for (unsigned call = 0; ok && only == NULL && call < FAULT_TRY; call++)
		ok = w->met[call] != 0;
	free(w);
	return ok;
}
