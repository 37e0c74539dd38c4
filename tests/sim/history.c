/* tests/sim/history.c */
#include "tests/sim/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <uthash.h>

#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"

void history_fini(struct history *h)
{
	for (size_t i = 0; i < h->n; i++) {
		buf_free(&h->ops[i]->rows);
		free(h->ops[i]);
	}
	free(h->ops);
}

struct past_op *history_add(struct history *h, const struct op *op, const struct id16 *who)
{
	struct past_op *p = xalloc(sizeof(*p));
	*p = (struct past_op){ .kind = op->kind, .stamp = op->stamp, .who = *who, .history = h };
	buf_put(&p->rows, op->rows.data, op->rows.len);
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		h->ops = realloc(h->ops, h->cap * sizeof(struct past_op *));
		if (h->ops == NULL)
			abort();
	}
	h->ops[h->n++] = p;
	return p;
}

/* -- reading what an op wrote: by hand, from the bytes */

struct column {
	bool there;
	struct slice value;
};

static struct column column_of(const struct wire_row *row, uint8_t id)
{
	struct cursor c = cursor_of(row->columns.data, row->columns.len);
	while (cursor_left(&c) != 0) {
		struct wire_column col;
		wire_column_get(&c, &col);
		if (col.id == id)
			return (struct column){ .there = true, .value = col.value };
	}
	return (struct column){ 0 };
}

static unsigned phase_of(const struct wire_row *row)
{
	struct column c = column_of(row, 1); /* PHASE is column 1 of mem, share and sess */
	return c.there && c.value.len == 1 ? c.value.data[0] : 0;
}

static bool closes(const struct wire_row *row)
{
	return (row->table == TABLE_MEM && phase_of(row) == MEM_CLOSED) ||
	       ((row->table == TABLE_SHARE || row->table == TABLE_SESS) && phase_of(row) == PHASE_CLOSED);
}

/* The instances that some op has closed. */
struct gone {
	UT_hash_handle hh;
	size_t len;
	uint8_t key[2 + ROW_KEY_MAX];
};

static size_t gone_key(const struct wire_row *row, uint8_t out[2 + ROW_KEY_MAX])
{
	out[0] = (uint8_t)(row->table >> 8);
	out[1] = (uint8_t)row->table;
	memcpy(out + 2, row->key.data, row->key.len);
	return 2 + row->key.len;
}

static bool is_gone(struct gone *all, const struct wire_row *row)
{
	uint8_t key[2 + ROW_KEY_MAX];
	struct gone *g;
	size_t len = gone_key(row, key);
	HASH_FIND(hh, all, key, len, g);
	return g != NULL;
}

static void add_gone(struct gone **all, const struct wire_row *row)
{
	if (is_gone(*all, row))
		return;
	struct gone *g = xalloc(sizeof(*g));
	g->len = gone_key(row, g->key);
	HASH_ADD_KEYPTR(hh, *all, g->key, g->len, g);
}

/* -- the checks */

struct check {
	struct history *h;
	const struct registry *reg;
	struct gone *gone;
	bool any_lost;
};

__attribute__((format(printf, 3, 4))) static bool fail(struct check *ck, const struct past_op *p, const char *fmt, ...)
{
	char text[200];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(ck->h->failure, sizeof(ck->h->failure), "%s of tracker %u, op %llx.%llu: %s", op_word(p->kind),
	         p->stamp.tracker, (unsigned long long)p->stamp.dot.log, (unsigned long long)p->stamp.dot.seq, text);
	return false;
}

static bool counts(const struct past_op *p)
{
	return p->fate == FATE_ACKED && !p->lost;
}

static struct id16 id_at(struct slice key, size_t at)
{
	struct id16 id;
	memcpy(id.b, key.data + at, sizeof(id.b));
	return id;
}

static bool row_is_closed_or_absent(struct check *ck, const struct wire_row *wire)
{
	const struct row *row = registry_find_row(ck->reg, wire->table, wire->key);
	return row == NULL || row_closed(row);
}

/* The first claim among all that were acknowledged has the plain name. */
static bool check_user_name(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct slice name = column_of(row, USER_NAME).value;
	const struct past_op *first = p;
	struct id16 uid = id_at(row->key, 0), winner = uid;
	char alias[NAME_SHOWN_MAX];

	for (size_t i = 0; i < ck->h->n; i++) {
		const struct past_op *q = ck->h->ops[i];
		struct cursor c = cursor_of(q->rows.data, q->rows.len);
		struct wire_row other;
		if (q->kind != OP_CREATE_USER || !counts(q))
			continue;
		wire_row_get(&c, &other);
		if (slice_eq(column_of(&other, USER_NAME).value, name) && stamp_cmp(&q->stamp, &first->stamp) < 0) {
			first = q;
			winner = id_at(other.key, 0);
		}
	}
	const struct user_row *found = user_find(ck->reg, name);
	if (found == NULL || !id16_eq(&found->uid, &winner))
		return fail(ck, p, "'%.*s' is %s, not the first claim's", (int)name.len, (const char *)name.data,
		            found == NULL ? "nobody" : "another");
	found = user_find(ck->reg, slice_str(user_shown(ck->reg, &uid, alias)));
	if (found == NULL || !id16_eq(&found->uid, &uid))
		return fail(ck, p, "the user is not found by the name that is shown, '%s'", alias);
	return true;
}

static bool check_group(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0);
	char shown[NAME_SHOWN_MAX];

	if (registry_group(ck->reg, &gid) == NULL)
		return fail(ck, p, "the group is missing");
	if (group_member_count(ck->reg, &gid) == 0)
		return true; /* it has ended: check_row() has looked at each member */
	const struct group_row *found = group_find(ck->reg, slice_str(group_shown(ck->reg, &gid, shown)));
	if (found == NULL || !id16_eq(&found->gid, &gid))
		return fail(ck, p, "the group is not found by the name that is shown, '%s'", shown);
	return true;
}

static bool check_share(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0), fid = id_at(row->key, 16), uid = id_at(row->key, 32);
	struct seeder *seeders = NULL;
	size_t n = 0;
	bool found = false;

	if (is_gone(ck->gone, row) || !group_is_member(ck->reg, &gid, &uid))
		return true;
	if (file_seeders(ck->reg, &gid, &fid, NULL, &seeders, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n; i++)
		found |= id16_eq(&seeders[i].uid, &uid);
	free(seeders);
	return found || fail(ck, p, "a share was lost silently");
}

/* One row of an acknowledged op: its effect shows, or another op explains why not. */
static bool check_row(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	if (closes(row))
		return row_is_closed_or_absent(ck, row) ||
		       fail(ck, p, "what it closed in table %s is open", table_word(row->table));
	switch (row->table) {
	case TABLE_USER:
		return !column_of(row, USER_NAME).there || check_user_name(ck, p, row);
	case TABLE_GROUP:
		return !column_of(row, GROUP_NAME).there || check_group(ck, p, row);
	case TABLE_MEM: {
		const struct row *now = registry_find_row(ck->reg, TABLE_MEM, row->key);
		struct mem_row m;
		if (is_gone(ck->gone, row))
			return true;
		if (now == NULL)
			return fail(ck, p, "a membership or request is missing");
		mem_row_read(now, &m);
		return m.phase >= phase_of(row) || fail(ck, p, "a membership fell back to a request");
	}
	case TABLE_FILE:
		return registry_find_row(ck->reg, TABLE_FILE, row->key) != NULL || fail(ck, p, "the file is missing");
	case TABLE_SHARE:
		return check_share(ck, p, row);
	case TABLE_SESS:
		return is_gone(ck->gone, row) || registry_find_row(ck->reg, TABLE_SESS, row->key) != NULL ||
		       fail(ck, p, "a session was lost silently");
	default:
		return true;
	}
}

static bool each_row(struct check *ck, bool (*fn)(struct check *, const struct past_op *, const struct wire_row *))
{
	for (size_t i = 0; i < ck->h->n; i++) {
		const struct past_op *p = ck->h->ops[i];
		struct cursor c = cursor_of(p->rows.data, p->rows.len);
		if (!counts(p))
			continue;
		while (cursor_left(&c) != 0) {
			struct wire_row row;
			wire_row_get(&c, &row);
			if (!fn(ck, p, &row))
				return false;
		}
	}
	return true;
}

static bool collect_gone(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	(void)p;
	if (closes(row))
		add_gone(&ck->gone, row);
	return true;
}

/* -- the owner is who was accepted earliest of those whose membership nobody closed */

struct earliest {
	struct stamp at;
	struct id16 uid;
};

static void note_accept(struct check *ck, const struct past_op *p, const struct id16 *gid, struct earliest *first)
{
	struct cursor c = cursor_of(p->rows.data, p->rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (row.table != TABLE_MEM || phase_of(&row) != MEM_MEMBER || is_gone(ck->gone, &row) ||
		    memcmp(row.key.data, gid->b, sizeof(gid->b)) != 0)
			continue;
		if (stamp_is_zero(&first->at) || stamp_cmp(&p->stamp, &first->at) < 0) {
			first->at = p->stamp;
			first->uid = id_at(row.key, 16);
		}
	}
}

static bool check_owner(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct earliest first = { 0 };
	struct id16 gid, owner;

	if (row->table != TABLE_GROUP || p->kind != OP_CREATE_GROUP)
		return true;
	gid = id_at(row->key, 0);
	for (size_t i = 0; i < ck->h->n; i++)
		if (counts(ck->h->ops[i]))
			note_accept(ck, ck->h->ops[i], &gid, &first);
	bool lives = group_owner(ck->reg, &gid, &owner);
	if (lives == stamp_is_zero(&first.at))
		return fail(ck, p, lives ? "the group lives without anybody accepted" : "the group has ended with a member");
	return !lives || id16_eq(&owner, &first.uid) || fail(ck, p, "the owner is not the member accepted first");
}

/* -- a plain fold of all ops, each twice, newest first, must give the same rows */

static bool check_fold(struct check *ck)
{
	struct registry *fold = registry_new(1, 1);
	bool same = true;

	for (size_t i = 2 * ck->h->n; i-- > 0;) {
		const struct past_op *p = ck->h->ops[i % ck->h->n];
		struct undo *undo = NULL;
		if (!counts(p))
			continue;
		if (registry_merge(fold, slice_of(p->rows.data, p->rows.len), NULL, &undo) != SHOAL_OK)
			abort();
		if (undo != NULL)
			registry_commit_done(fold, undo);
	}
	for (unsigned table = TABLE_USER; table < TABLE_NOTICE && same; table++) {
		struct digest a = registry_digest(fold, table), b = registry_digest(ck->reg, table);
		same = digest_eq(a, b);
		if (!same)
			snprintf(ck->h->failure, sizeof(ck->h->failure),
			         "table %s is not the fold of all operations: %llu rows, not %llu", table_word(table),
			         (unsigned long long)b.count, (unsigned long long)a.count);
	}
	registry_free(fold);
	return same;
}

/* Unknown fates: what the vector covers was durable. (Its log ended with that life, so the dot is its own.) */
static bool settle(struct check *ck)
{
	for (size_t i = 0; i < ck->h->n; i++) {
		struct past_op *p = ck->h->ops[i];
		bool here = vvec_covers(registry_vector(ck->reg), p->stamp.dot);
		if (p->fate == FATE_UNKNOWN || p->fate == FATE_PENDING)
			p->fate = here ? FATE_ACKED : FATE_FAILED;
		if (p->fate == FATE_ACKED && p->lost && here)
			p->lost = false;
		if (p->fate == FATE_ACKED && p->lost)
			ck->any_lost = true;
		if (counts(p) && !here)
			return fail(ck, p, "acknowledged, and no tracker knows it");
	}
	return true;
}

bool history_check(struct history *h, const struct registry *reg)
{
	struct check ck = { .h = h, .reg = reg };
	struct gone *g, *next;
	bool ok = settle(&ck);

	if (ok && !ck.any_lost) /* with a disk, explanations may have been lost */
		ok = each_row(&ck, collect_gone) && each_row(&ck, check_row) && each_row(&ck, check_owner) &&
		     check_fold(&ck);
	HASH_ITER(hh, ck.gone, g, next) {
		HASH_DEL(ck.gone, g);
		free(g);
	}
	return ok;
}

/* -- views */

static void view_users(const struct registry *reg, struct buf *lines)
{
	struct registry_iter it = registry_all(reg, TABLE_USER);
	const struct user_row *u;
	char shown[NAME_SHOWN_MAX];
	while ((u = registry_next(&it)) != NULL)
		buf_printf(lines, "user %s\n", user_shown(reg, &u->uid, shown));
}

static void view_files(const struct registry *reg, const struct shown_group *g, struct buf *lines)
{
	struct shown_file *files = NULL;
	size_t n = 0;
	if (file_list(reg, &g->group->gid, NULL, true, &files, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n; i++)
		buf_printf(lines, "file %s/%s %u\n", g->name, files[i].name, files[i].seeders);
	free(files);
}

static void view_group(const struct registry *reg, const struct shown_group *g, struct buf *lines)
{
	struct id16 owner;
	struct member *m = NULL;
	size_t n = 0;
	char shown[NAME_SHOWN_MAX];

	buf_printf(lines, "group %s", g->name);
	if (group_owner(reg, &g->group->gid, &owner))
		buf_printf(lines, " owner %s", user_shown(reg, &owner, shown));
	if (group_members(reg, &g->group->gid, &m, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n; i++)
		buf_printf(lines, " member %s", user_shown(reg, &m[i].uid, shown));
	free(m);
	if (group_asked(reg, &g->group->gid, &m, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n; i++)
		buf_printf(lines, " asked %s", user_shown(reg, &m[i].uid, shown));
	free(m);
	buf_printf(lines, "\n");
	view_files(reg, g, lines);
}

static int cmp_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Tables are walked in no particular order. */
static void sort_lines(struct buf *lines, struct buf *out)
{
	char *text = buf_steal_str(lines), *rest = text;
	size_t n = 0, cap = 0;
	char **all = NULL;

	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			all = realloc(all, cap * sizeof(char *));
			if (all == NULL)
				abort();
		}
		all[n++] = line;
	}
	if (n != 0)
		qsort(all, n, sizeof(char *), cmp_lines);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s\n", all[i]);
	free(all);
	free(text);
}

void history_views(const struct registry *reg, struct buf *out)
{
	struct buf lines = { 0 };
	struct shown_group *groups = NULL;
	size_t n = 0;

	buf_printf(&lines, "views\n");
	view_users(reg, &lines);
	if (group_list(reg, &groups, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n; i++)
		view_group(reg, &groups[i], &lines);
	free(groups);
	sort_lines(&lines, out);
}
