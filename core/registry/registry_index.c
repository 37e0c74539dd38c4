/* core/registry/registry_index.c - where rows are, by key and by the indexes. */
#include <assert.h>
#include <string.h>

#include "core/registry/registry_internal.h"

/* How many links an entry of the table has: one for each of its indexes, at least one for INDEX_CLOSED. */
static const uint8_t links_of[TABLE_END] = {
	[TABLE_USER] = 1,  [TABLE_GROUP] = 1, [TABLE_MEM] = 3,    [TABLE_FILE] = 2,
	[TABLE_SHARE] = 3, [TABLE_SESS] = 1,  [TABLE_NOTICE] = 1,
};

/* Which of them an index uses: its table's other indexes use the others. */
static const uint8_t positions[INDEX_COUNT + 1] = {
	[INDEX_GROUP_MEMS] = 0,  [INDEX_USER_MEMS] = 1,     [INDEX_MEMBER] = 2,
	[INDEX_GROUP_FILES] = 0, [INDEX_FILES_NAMED] = 1,   [INDEX_FILE_SHARES] = 0,
	[INDEX_DEVICE_SHARES] = 1, [INDEX_MEMBER_SHARES] = 2,
};

static unsigned slot_of(unsigned table)
{
	return table < TABLE_END ? table : 0;
}

struct entry *link_entry(const struct link *link, unsigned index)
{
	return (struct entry *)((char *)(link - positions[index]) - offsetof(struct entry, links));
}

/* -- views */

static void read_view(const struct entry *e, union any_view *v)
{
	switch (e->last->table) {
	case TABLE_USER: user_row_read(e->last, &v->user); break;
	case TABLE_GROUP: group_row_read(e->last, &v->group); break;
	case TABLE_MEM: mem_row_read(e->last, &v->mem); break;
	case TABLE_FILE: file_row_read(e->last, &v->file); break;
	case TABLE_SHARE: share_row_read(e->last, &v->share); break;
	case TABLE_SESS: sess_row_read(e->last, &v->sess); break;
	case TABLE_ROLE: role_row_read(e->last, &v->role); break;
	case TABLE_CONTENT:
		content_row_read(e->last, &v->content);
		v->content.held = (e->node.own & ENTRY_HELD) != 0;
		break;
	case TABLE_NOTICE: notice_row_read(e->last, &v->notice); break;
	default: break; /* unknown tables are only kept */
	}
}

const void *entry_view(const struct registry *reg, const struct entry *e)
{
	struct entry *cached = (struct entry *)e; /* what it is does not change: it is only looked at */
	union any_view *v = e->view;

	if (v != NULL)
		return v;
	v = views_take(reg->views, &cached->view);
	if (v == NULL)
		v = views_lend(reg->views);
	read_view(e, v);
	return v;
}

/* -- hubs */

/* The key of a hub: a, then b, as registry_by() is asked. Fields before the last have a fixed size, so no two keys of an
 * index look alike. */
struct hub_key {
	unsigned index;
	struct slice a, b;
};

static struct hub_key hub_key_of(unsigned index, struct slice a, struct slice b)
{
	assert(a.len + b.len <= HUB_KEY_MAX);
	return (struct hub_key){ index, a, b };
}

static uint32_t hub_hash(const struct registry *reg, const struct hub_key *k)
{
	uint64_t h = node_hash(reg->log + k->index, k->a.data, k->a.len);
	return node_hash_end(node_hash(h, k->b.data, k->b.len));
}

static bool slice_same(const void *data, struct slice s)
{
	return s.len == 0 || memcmp(data, s.data, s.len) == 0;
}

static bool hub_is(const struct hub *hub, const struct hub_key *k)
{
	return hub->node.own == k->index && hub->key_len == k->a.len + k->b.len && slice_same(hub->key, k->a) &&
	       slice_same(hub->key + k->a.len, k->b);
}

static struct hub *hub_by_key(const struct registry *reg, const struct hub_key *k, uint32_t hash)
{
	struct node *node = node_find(&reg->hubs, hash);
	while (node != NULL && !hub_is((struct hub *)node, k))
		node = node_find_next(node);
	return (struct hub *)node;
}

struct hub *hub_find(const struct registry *reg, unsigned index, const void *a, size_t a_len, const void *b, size_t b_len)
{
	if (a_len + b_len > HUB_KEY_MAX)
		return NULL; /* no row has such a name */
	struct hub_key k = hub_key_of(index, slice_of(a, a_len), slice_of(b, b_len));
	return hub_by_key(reg, &k, hub_hash(reg, &k));
}

static size_t summary_offset(size_t key_len)
{
	size_t align = _Alignof(struct group_summary);
	return (offsetof(struct hub, key) + key_len + align - 1) / align * align;
}

struct group_summary *hub_summary(const struct hub *hub)
{
	return (struct group_summary *)((char *)hub + summary_offset(hub->key_len));
}

static bool hub_make(struct registry *reg, const struct hub_key *k)
{
	uint32_t hash = hub_hash(reg, k);
	size_t len = k->a.len + k->b.len, size = sizeof(struct hub) + len;

	if (hub_by_key(reg, k, hash) != NULL)
		return true;
	if (k->index == INDEX_GROUP_MEMS)
		size = summary_offset(len) + sizeof(struct group_summary);
	struct hub *hub = try_alloc(size);
	if (hub == NULL)
		return false;
	hub->node.hash = hash;
	hub->node.own = k->index;
	hub->key_len = (uint16_t)len;
	if (k->a.len != 0)
		memcpy(hub->key, k->a.data, k->a.len);
	if (k->b.len != 0)
		memcpy(hub->key + k->a.len, k->b.data, k->b.len);
	if (node_add(&reg->hubs, &hub->node))
		return true;
	free(hub);
	return false;
}

/* Of a known table, whose keys have their size; of others an empty slice. */
static struct slice key_part(const struct row *row, size_t at, size_t len)
{
	struct slice key = row_key(row);
	return at + len <= key.len ? slice_of(key.data + at, len) : slice_of(NULL, 0);
}

/* The hubs a row belongs to; their number. A name that has not come yet gives none. */
static unsigned hub_keys_of(const struct row *row, struct hub_key keys[INDEXES_OF_A_ROW])
{
	struct slice none = slice_of(NULL, 0), name = none, first = key_part(row, 0, 16);
	unsigned n = 0;

	if (row_closed(row)) {
		keys[n++] = hub_key_of(INDEX_CLOSED, none, none);
		return n;
	}
	switch (row->table) {
	case TABLE_USER: name = row_column(row, USER_NAME); break;
	case TABLE_GROUP: name = row_column(row, GROUP_NAME); break;
	case TABLE_FILE: name = row_column(row, FILE_NAME); break;
	case TABLE_MEM:
		keys[n++] = hub_key_of(INDEX_GROUP_MEMS, first, none);
		keys[n++] = hub_key_of(INDEX_USER_MEMS, key_part(row, 16, 16), none);
		keys[n++] = hub_key_of(INDEX_MEMBER, first, key_part(row, 16, 16));
		break;
	case TABLE_SHARE:
		keys[n++] = hub_key_of(INDEX_FILE_SHARES, first, key_part(row, 16, 16));
		keys[n++] = hub_key_of(INDEX_DEVICE_SHARES, key_part(row, 32, 16), row_column(row, SHARE_DEVICE));
		keys[n++] = hub_key_of(INDEX_MEMBER_SHARES, first, key_part(row, 32, 16));
		break;
	case TABLE_SESS: keys[n++] = hub_key_of(INDEX_USER_SESSIONS, first, none); break;
	case TABLE_NOTICE: keys[n++] = hub_key_of(INDEX_USER_NOTICES, row_column(row, NOTICE_WHOM), none); break;
	default: break;
	}
	if (row->table == TABLE_FILE)
		keys[n++] = hub_key_of(INDEX_GROUP_FILES, first, none);
	if (name.len != 0 && row->table == TABLE_FILE)
		keys[n++] = hub_key_of(INDEX_FILES_NAMED, first, name);
	else if (name.len != 0)
		keys[n++] = hub_key_of(row->table == TABLE_USER ? INDEX_USERS_NAMED : INDEX_GROUPS_NAMED, name, none);
	return n;
}

static void forget_summary(struct hub *hub)
{
	if (hub->node.own == INDEX_GROUP_MEMS)
		hub_summary(hub)->valid = false;
}

static void link_in(struct link *link, struct hub *hub)
{
	*link = (struct link){ .next = hub->first };
	if (hub->first != NULL)
		hub->first->prev = link;
	hub->first = link;
	forget_summary(hub);
}

static void link_out(struct link *link, struct hub *hub)
{
	if (link->prev != NULL)
		link->prev->next = link->next;
	else
		hub->first = link->next;
	if (link->next != NULL)
		link->next->prev = link->prev;
	forget_summary(hub);
}

/* Into or out of the hubs of its row. */
static void link_all(struct registry *reg, struct entry *e, bool in)
{
	struct hub_key keys[INDEXES_OF_A_ROW];
	unsigned n = hub_keys_of(e->last, keys);

	assert(n <= INDEXES_OF_A_ROW);
	for (unsigned i = 0; i < n; i++) {
		struct hub *hub = hub_by_key(reg, &keys[i], hub_hash(reg, &keys[i]));
		assert(hub != NULL); /* entry_prepare() */
		struct link *link = &e->links[positions[keys[i].index]];
		if (in)
			link_in(link, hub);
		else
			link_out(link, hub);
	}
}

/* -- entries */

static uint32_t entry_hash(const struct registry *reg, uint16_t table, struct slice key)
{
	return node_hash_end(node_hash(reg->log + 1000 + table, key.data, key.len));
}

struct entry *entry_find(const struct registry *reg, uint16_t table, struct slice key)
{
	struct node *node = node_find(&reg->tables[slot_of(table)], entry_hash(reg, table, key));

	for (; node != NULL; node = node_find_next(node)) {
		struct entry *e = (struct entry *)node;
		if (e->last->table == table && slice_eq(row_key(e->last), key))
			return e;
	}
	return NULL;
}

struct entry *entry_get(struct registry *reg, struct row *row)
{
	unsigned slot = slot_of(row->table);
	struct entry *e = entry_find(reg, row->table, row_key(row));

	if (e != NULL)
		return e;
	e = try_alloc(sizeof(*e) + links_of[slot] * sizeof(struct link));
	if (e == NULL)
		return NULL;
	e->node.hash = entry_hash(reg, row->table, row_key(row));
	if (!node_add(&reg->tables[slot], &e->node)) {
		free(e);
		return NULL;
	}
	e->last = row_ref(row);
	return e;
}

unsigned entry_places(const struct registry *reg, const struct row *row, struct place places[PLACES_OF_A_ROW])
{
	struct hub_key keys[INDEXES_OF_A_ROW];
	unsigned n = hub_keys_of(row, keys);

	places[0] = (struct place){ &reg->tables[slot_of(row->table)], entry_hash(reg, row->table, row_key(row)) };
	for (unsigned i = 0; i < n; i++)
		places[1 + i] = (struct place){ &reg->hubs, hub_hash(reg, &keys[i]) };
	return 1 + n;
}

bool entry_prepare(struct registry *reg, const struct row *row)
{
	struct hub_key keys[INDEXES_OF_A_ROW];
	unsigned n = hub_keys_of(row, keys);

	for (unsigned i = 0; i < n; i++)
		if (!hub_make(reg, &keys[i]))
			return false;
	return true;
}

static void digest_move(struct registry *reg, struct entry *e, const struct row *row)
{
	assert(e->last != NULL);
	struct digest *d = &reg->digests[slot_of(e->last->table)];
	const struct row *before = entry_row(e);

	if (before != NULL && !row_closed(before)) {
		d->count--;
		d->sum -= e->hash;
	}
	e->hash = 0;
	if (row != NULL && !row_closed(row)) {
		e->hash = row_hash(row);
		d->count++;
		d->sum += e->hash;
	}
}

struct row *entry_set(struct registry *reg, struct entry *e, struct row *row)
{
	struct row *before = entry_row(e);

	if (before != NULL)
		link_all(reg, e, false);
	digest_move(reg, e, row);
	if (row == NULL) {
		e->node.own &= ~(uint32_t)ENTRY_PRESENT;
		return before != NULL ? row_ref(before) : NULL;
	}
	if (before == NULL)
		row_unref(e->last);
	e->last = row;
	e->node.own |= ENTRY_PRESENT;
	if (e->view != NULL)
		read_view(e, e->view);
	link_all(reg, e, true);
	return before;
}

void entry_set_held(struct entry *e, bool held)
{
	e->node.own = held ? e->node.own | ENTRY_HELD : e->node.own & ~(uint32_t)ENTRY_HELD;
	if (e->view != NULL)
		read_view(e, e->view);
}

static void entry_free(struct registry *reg, struct entry *e)
{
	views_give_back(reg->views, &e->view);
	row_unref(e->last);
	free(e);
}

void entry_release(struct registry *reg, struct entry *e)
{
	if ((e->node.own & ENTRY_PRESENT) != 0 || e->node.own >= ENTRY_STEP)
		return;
	node_remove(&reg->tables[slot_of(e->last->table)], &e->node);
	entry_free(reg, e);
}

void entry_pin(struct entry *e)
{
	assert(e->node.own < UINT32_MAX - ENTRY_STEP);
	e->node.own += ENTRY_STEP;
}

void entry_unpin(struct registry *reg, struct entry *e)
{
	assert(e->node.own >= ENTRY_STEP);
	e->node.own -= ENTRY_STEP;
	entry_release(reg, e);
}

const struct entry *entry_first(const struct registry *reg, unsigned table)
{
	return (const struct entry *)node_first(&reg->tables[table]);
}

const struct entry *entry_after(const struct registry *reg, const struct entry *e)
{
	return (const struct entry *)node_after(&reg->tables[slot_of(e->last->table)], &e->node);
}

static void free_hubs(struct registry *reg)
{
	struct node *next;
	for (struct node *node = node_first(&reg->hubs); node != NULL; node = next) {
		next = node_after(&reg->hubs, node);
		free(node);
	}
	node_table_fini(&reg->hubs);
}

void registry_free_rows(struct registry *reg)
{
	struct entry *next;

	for (unsigned slot = 0; slot < TABLE_END; slot++) {
		for (struct entry *e = (struct entry *)entry_first(reg, slot); e != NULL; e = next) {
			next = (struct entry *)node_after(&reg->tables[slot], &e->node);
			entry_free(reg, e);
		}
		node_table_fini(&reg->tables[slot]);
	}
	free_hubs(reg);
}
