/* tests/sim/sim_store.c - the real SQLite store on a disk that loses power, fails and is full: what was acknowledged is
 * there, what was not is there whole or not at all, and nothing is there that nobody wrote.
 *
 * Power cuts: a store lives a random life on a recorded disk. Then, over and over, the power is cut after some event,
 * and of what was not flushed a part survives: none, all, a first part, any sectors in any order. The store is
 * opened on what is left, must know exactly what it knew after the last acknowledged step, or after the one under
 * way, and lives on; some of these second lives are cut again, also in the middle of their recovery.
 *
 * Faults: the n-th read, write, flush, truncation, opening, deletion or allocation fails, once or until it is mended, for n = 1, 2, ...
 * until none is left that could fail. A step that fails has changed nothing; a probe and the next step work; and
 * whatever was acknowledged after a failed flush survives a power cut.
 *
 *     build/tests/sim/sim_store          lives 1 to 40, and all faults
 *     build/tests/sim/sim_store LIFE     that one
 *     build/tests/sim/sim_store - N      lives 1 to N, and all faults (make soak)
 *     build/tests/sim/sim_store faults [read|malloc|...]   these alone, on longer stories */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/battery.h"
#include "tests/sim/crash_disk.h"
#include "tests/sim/store_faults.h"
#include "tests/sim/story.h"
#include "tracker/store_sqlite.h"

enum { LIVES = 40, STEPS = 60, CUTS = 60, LATER_STEPS = 6, LATER_CUTS = 4,
       FIRST_STORIES = 1, FIRST_STEPS = 16, LATER_STORIES = 3 };

/* Rare states: each must have been met in a whole run, or the run proves less than it says. */
#define SOMETIMES(X)                                                                                   \
	X(unacknowledged_kept) X(unacknowledged_gone) X(cut_while_made) X(cut_in_recovery) X(cut_in_checkpoint) \
	X(cut_in_big_commit) X(cut_in_log_cut) X(cut_in_content) X(cut_at_rest) X(cut_while_closed) X(cut_twice)

struct sometimes {
#define X(name) uint64_t name;
	SOMETIMES(X)
#undef X
};

struct mark {
	size_t begun, done; /* events of the disk before and after the step */
	enum story_kind kind;
	bool opening;       /* not a step of the story */
	struct facts facts; /* true after it */
};

struct life {
	struct crash_disk *disk;
	struct mark marks[STEPS + 4];
	size_t n;
	bool again; /* it began on what a power cut had left */
};

struct run {
	uint64_t seed;
	uint64_t states;
	struct sometimes sometimes;
	char failure[600];
};

static bool fail(struct run *r, const char *what, const struct error *e)
{
	if (r->failure[0] == '\0')
		snprintf(r->failure, sizeof(r->failure), "%s: %.400s", what, e != NULL ? e->message : "");
	return false;
}

static struct mark *add_mark(struct life *l, size_t begun, const struct facts *facts)
{
	struct mark *m = &l->marks[l->n++];
	*m = (struct mark){ .begun = begun, .done = crash_disk_events(l->disk), .facts = *facts };
	return m;
}

/* -- living */
static bool live(struct run *r, struct life *l, struct store *st, struct story *s, unsigned steps)
{
	struct error e = { 0 };
	for (unsigned i = 0; i < steps; i++) {
		size_t begun = crash_disk_events(l->disk);
		struct facts after;
		enum story_kind kind;
		if (story_step(s, st, &after, &kind, &e) != SHOAL_OK)
			return fail(r, "a step failed on a good disk", &e);
		s->now = after;
		add_mark(l, begun, &after)->kind = kind;
	}
	return true;
}

/* Opens what is on the disk and compares: it knows `a`, or, if given, `b`. *got: which. */
static struct store *come_back(struct run *r, const struct facts *a, const struct facts *b, struct facts *got)
{
	struct error e = { 0 };
	struct store *st = NULL;
	char text[400];

	if (store_sqlite_ops.open("t.db", &st, &e) != SHOAL_OK)
		return fail(r, "cannot be opened", &e), NULL;
	if (story_read(st, got, &e) != SHOAL_OK) {
		fail(r, "cannot be read", &e);
	} else if (memcmp(got, a, sizeof(*a)) != 0 && (b == NULL || memcmp(got, b, sizeof(*b)) != 0)) {
		story_difference(got, a, text, sizeof(text));
		error_set(&e, SHOAL_EINTEGRITY, "%s", text);
		fail(r, "it knows something else", &e);
	} else {
		return st;
	}
	store_sqlite_ops.close(st);
	return NULL;
}

static void close_and_mark(struct life *l, struct store *st, const struct story *s)
{
	size_t begun = crash_disk_events(l->disk);
	store_sqlite_ops.close(st);
	add_mark(l, begun, &s->now)->opening = true;
}

/* -- cutting */
static void note(struct run *r, const struct life *l, size_t at, const struct facts *got)
{
	struct sometimes *so = &r->sometimes;
	const struct mark *next = at < l->n ? &l->marks[at] : NULL, *last = at != 0 ? &l->marks[at - 1] : NULL;
	if (next == NULL || last == NULL) {
		*(next == NULL ? &so->cut_while_closed : &so->cut_while_made) += 1;
		return;
	}
	if (memcmp(&next->facts, &last->facts, sizeof(next->facts)) != 0)
		*(memcmp(got, &next->facts, sizeof(*got)) == 0 ? &so->unacknowledged_kept : &so->unacknowledged_gone) += 1;
	switch (next->kind) {
	case STORY_BIG_COMMIT: so->cut_in_big_commit++; break;
	case STORY_CUT: so->cut_in_log_cut++; break;
	case STORY_PUT:
	case STORY_CHECK: so->cut_in_content++; break;
	case STORY_IDLE: so->cut_in_checkpoint++; break;
	default: break;
	}
}

static bool cut_life(struct run *r, const struct life *l, unsigned depth, uint64_t *dice);

/* The second life, and what cuts do to it. */
static bool live_again(struct run *r, struct crash_disk *disk, const struct facts *a, const struct facts *b,
                       unsigned depth, struct facts *got, uint64_t *dice)
{
	struct life *l = xalloc(sizeof(*l));
	l->disk = disk;
	l->again = true;
	struct store *st = come_back(r, a, b, got);
	bool ok = st != NULL;

	if (ok) {
		struct story s = { .now = *got, .dice = crash_random(dice, 1u << 30), .versions = 1u << 20 };
		add_mark(l, 0, got)->opening = true;
		l->marks[0].begun = 0;
		ok = live(r, l, st, &s, LATER_STEPS);
		close_and_mark(l, st, &s);
		if (ok) {
			struct facts after;
			st = come_back(r, &s.now, NULL, &after);
			ok = st != NULL;
			store_sqlite_ops.close(st);
		}
	}
	for (unsigned i = 0; ok && depth > 0 && i < LATER_CUTS; i++)
		ok = cut_life(r, l, depth - 1, dice);
	free(l);
	return ok;
}

/* The power goes at a random moment of that life. */
static bool cut_life(struct run *r, const struct life *l, unsigned depth, uint64_t *dice)
{
	static const struct facts nothing;
	size_t end = l->marks[l->n - 1].done, at = 0;
	struct crash_cut cut = { .events = crash_random(dice, (uint32_t)end + 1),
		                 .kind = crash_random(dice, CRASH_KINDS),
		                 .sector = crash_random(dice, 2) == 0 ? 512 : 4096,
		                 .seed = crash_random(dice, 1u << 30) };
	struct facts got;

	while (at < l->n && l->marks[at].done <= cut.events)
		at++; /* the first mark that was not reached */
	bool first = l->marks[0].opening && at == 0;
	const struct facts *before = at != 0 ? &l->marks[at - 1].facts : first ? &l->marks[0].facts : &nothing;
	const struct facts *after = at < l->n && l->marks[at].begun < cut.events ? &l->marks[at].facts : NULL;
	struct crash_disk *disk = crash_disk_cut(l->disk, &cut);
	crash_disk_mount(disk);
	bool ok = live_again(r, disk, before, after, depth, &got, dice);
	if (ok)
		note(r, l, at, &got);
	else if (strstr(r->failure, "cut after") == NULL) {
		size_t n = strlen(r->failure);
		snprintf(r->failure + n, sizeof(r->failure) - n, " (cut after event %zu, kind %d, sector %u)",
		         cut.events, (int)cut.kind, cut.sector);
	}
	r->sometimes.cut_in_recovery += first && cut.events != 0;
	r->sometimes.cut_at_rest += after == NULL;
	r->sometimes.cut_twice += l->again;
	r->states++;
	crash_disk_mount(NULL);
	crash_disk_free(disk);
	return ok;
}

static bool one_life(struct run *r)
{
	struct life *l = xalloc(sizeof(*l));
	struct story s = { .dice = r->seed };
	struct error e = { 0 };
	struct store *st = NULL;
	uint64_t dice = ~r->seed;
	bool ok;

	l->disk = crash_disk_new();
	crash_disk_mount(l->disk);
	ok = store_sqlite_ops.open("t.db", &st, &e) == SHOAL_OK || fail(r, "a new one cannot be made", &e);
	if (ok) {
		add_mark(l, 0, &s.now);
		ok = live(r, l, st, &s, STEPS);
		close_and_mark(l, st, &s);
	}
	crash_disk_mount(NULL);
	for (unsigned i = 0; ok && i < CUTS; i++)
		ok = cut_life(r, l, i % 8 == 0 ? 1 : 0, &dice);
	crash_disk_free(l->disk);
	free(l);
	return ok;
}

static bool lives(struct run *r, uint64_t from, uint64_t to)
{
	for (r->seed = from; r->seed <= to; r->seed++)
		if (!one_life(r)) {
			printf("FAIL life %" PRIu64 ": %s\nreplay: build/tests/sim/sim_store %" PRIu64 "\n", r->seed,
			       r->failure, r->seed);
			return false;
		}
	return true;
}

static bool print_sometimes(const struct run *r, bool all)
{
	bool ok = true;
	printf("# sometimes:");
#define X(name)                                                                                \
	printf(" " #name " %" PRIu64, r->sometimes.name);                                      \
	ok = ok && (r->sometimes.name != 0 || !all);
	SOMETIMES(X)
#undef X
	printf("\n");
	if (!ok)
		printf("FAIL: one of these was never met\n");
	return ok;
}

int main(int argc, char **argv)
{
	struct run *r = xalloc(sizeof(*r));
	uint64_t first = 1, last = BATTERY_SHARE > 2 ? LIVES / 10 : LIVES;
	bool whole = argc < 2 || strcmp(argv[1], "-") == 0;

	if (!whole)
		first = last = strtoull(argv[1], NULL, 10);
	else if (argc > 2)
		last = strtoull(argv[2], NULL, 10);
	store_faults_prepare(); /* before SQLite's first allocation */
	if (argc > 1 && strcmp(argv[1], "faults") == 0) {
		free(r);
		return store_faults(argc > 2 ? argv[2] : NULL, LATER_STORIES, STEPS / 2, false) ? 0 : 1;
	}
	bool ok = lives(r, first, last);
	printf("# seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " power cuts\n", first, last, r->states);
	ok = ok && print_sometimes(r, whole && last >= LIVES) && (!whole || store_faults(NULL, FIRST_STORIES, FIRST_STEPS, true));
	free(r);
	return ok ? 0 : 1;
}
