/* tests/sim/crash_cut.c - the disk that a power cut leaves.
 *
 * Of each file: all that came before its last flush, then of the rest what the kind of cut lets through. Names: those
 * of the last flush of names, then some first part of the later changes, since file systems keep these in order. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/crash_disk.h"

enum fate { PENDING, SAFE, LOST };

uint32_t crash_random(uint64_t *dice, uint32_t below)
{
	uint64_t z = (*dice += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) % below);
}

/* What became of each write and truncation: the first flush after it, failed or not, decides. */
static enum fate *fates(const struct crash_disk *d, size_t n)
{
	enum fate *fate = xalloc((n + 1) * sizeof(*fate)), *file = xalloc((d->n_nodes + 1) * sizeof(*file));
	for (size_t i = n; i-- > 0;) {
		const struct crash_event *ev = &d->events[i];
		if (ev->kind == CRASH_EV_SYNC)
			file[ev->node] = SAFE;
		else if (ev->kind == CRASH_EV_LOST)
			file[ev->node] = LOST;
		fate[i] = file[ev->node];
	}
	free(file);
	return fate;
}

static bool is_change(const struct crash_event *ev)
{
	return ev->kind == CRASH_EV_WRITE || ev->kind == CRASH_EV_TRUNCATE;
}

/* Some sectors of a write. first_only: those before a random one; else each by itself. */
static void write_torn(struct crash_bytes *b, const struct crash_event *ev, unsigned sector, bool first_only,
                       uint64_t *dice)
{
	size_t end = ev->at + ev->len, at = ev->at;
	while (at < end) {
		size_t next = (at / sector + 1) * sector;
		next = next < end ? next : end;
		if (crash_random(dice, 2) != 0)
			crash_bytes_write(b, at, ev->data + (at - ev->at), next - at);
		else if (first_only)
			return;
		at = next;
	}
}

static void apply(struct crash_bytes *b, const struct crash_event *ev)
{
	if (ev->kind == CRASH_EV_TRUNCATE)
		crash_bytes_resize(b, ev->at);
	else
		crash_bytes_write(b, ev->at, ev->data, ev->len);
}

static void apply_some(struct crash_bytes *b, const struct crash_event *ev, const struct crash_cut *cut, bool torn,
                       uint64_t *dice)
{
	if (ev->kind == CRASH_EV_WRITE && (torn || crash_random(dice, 3) == 0))
		write_torn(b, ev, cut->sector, torn, dice);
	else if (torn || crash_random(dice, 2) == 0)
		apply(b, ev);
}

static void replay_files(const struct crash_disk *d, const struct crash_cut *cut, struct crash_bytes *files)
{
	enum fate *fate = fates(d, cut->events);
	uint64_t dice = cut->seed;
	size_t unsafe = 0;

	for (size_t i = 0; i < cut->events; i++)
		unsafe += is_change(&d->events[i]) && fate[i] != SAFE;
	size_t whole = unsafe != 0 ? crash_random(&dice, (uint32_t)unsafe) : 0; /* PREFIX: so many, the next one torn */
	size_t seen = 0;
	for (size_t i = 0; i < cut->events; i++) {
		const struct crash_event *ev = &d->events[i];
		if (!is_change(ev))
			continue;
		if (fate[i] == SAFE) {
			apply(&files[ev->node], ev);
			continue;
		}
		bool lost = fate[i] == LOST && cut->kind != CRASH_ANY; /* ANY: it may have got there all the same */
		if (!lost && (cut->kind == CRASH_ALL || (cut->kind == CRASH_PREFIX && seen < whole)))
			apply(&files[ev->node], ev);
		else if (cut->kind == CRASH_ANY || (!lost && cut->kind == CRASH_PREFIX && seen == whole))
			apply_some(&files[ev->node], ev, cut, cut->kind == CRASH_PREFIX, &dice);
		seen++;
	}
	free(fate);
}

static void replay_names(const struct crash_disk *d, const struct crash_cut *cut, struct crash_names *names)
{
	uint64_t dice = cut->seed ^ 1;
	size_t flushed = 0, changes = 0;

	for (size_t i = 0; i < cut->events; i++)
		if (d->events[i].kind == CRASH_EV_NAMES)
			flushed = i + 1;
	for (size_t i = flushed; i < cut->events; i++)
		changes += d->events[i].kind == CRASH_EV_CREATE || d->events[i].kind == CRASH_EV_DELETE;
	size_t take = cut->kind == CRASH_NOTHING ? 0
	              : cut->kind == CRASH_ALL   ? changes
	                                         : crash_random(&dice, (uint32_t)changes + 1);
	for (size_t i = 0; i < cut->events; i++) {
		const struct crash_event *ev = &d->events[i];
		if (ev->kind != CRASH_EV_CREATE && ev->kind != CRASH_EV_DELETE)
			continue;
		if (i >= flushed && take-- == 0)
			break;
		int at = crash_find_name(names, ev->name);
		if (ev->kind == CRASH_EV_DELETE && at >= 0)
			names->used[at] = false;
		else if (ev->kind == CRASH_EV_CREATE)
			crash_set_name(names, ev->name, ev->node);
	}
}

struct crash_disk *crash_disk_cut(const struct crash_disk *d, const struct crash_cut *cut)
{
	struct crash_bytes *files = xalloc((d->n_nodes + 1) * sizeof(*files));
	struct crash_disk *out = crash_disk_new();
	struct crash_names names = d->first_names;

	for (size_t i = 0; i < d->n_nodes; i++)
		if (d->nodes[i].first.len != 0)
			crash_bytes_write(&files[i], 0, d->nodes[i].first.bytes, d->nodes[i].first.len);
	replay_files(d, cut, files);
	replay_names(d, cut, &names);
	for (unsigned i = 0; i < CRASH_NAMES; i++) {
		if (!names.used[i])
			continue;
		unsigned node = crash_add_node(out);
		struct crash_bytes *b = &files[names.node[i]];
		if (b->len != 0) {
			crash_bytes_write(&out->nodes[node].now, 0, b->bytes, b->len);
			crash_bytes_write(&out->nodes[node].first, 0, b->bytes, b->len);
		}
		crash_set_name(&out->names, names.name[i], node);
	}
	out->first_names = out->names;
	out->dice = cut->seed + 2;
	for (size_t i = 0; i < d->n_nodes; i++)
		free(files[i].bytes);
	free(files);
	return out;
}
