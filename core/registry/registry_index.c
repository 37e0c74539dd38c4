/* core/registry/registry_index.c - where rows are, by key and by the indexes. */
#include <assert.h>
#include <string.h>

#include "core/registry/registry_internal.h"

union any_view {
	struct user_row user;
	struct group_row group;
	struct mem_row mem;
	struct file_row file;
	struct share_row share;
	struct sess_row sess;
	struct role_row role;
	struct content_row content;
	struct notice_row notice;
};

static const struct {
	size_t view_size;
	uint8_t links;
} shapes[TABLE_END] = {
	[0] = { 0, 0 },
	[TABLE_USER] = { sizeof(struct user_row), 1 },
	[TABLE_GROUP] = { sizeof(struct group_row), 1 },
	[TABLE_MEM] = { sizeof(struct mem_row), 3 },
	[TABLE_FILE] = { sizeof(struct file_row), 2 },
	[TABLE_SHARE] = { sizeof(struct share_row), 3 },
	[TABLE_SESS] = { sizeof(struct sess_row), 1 },
	[TABLE_ROLE] = { sizeof(struct role_row), 0 },
	[TABLE_CONTENT] = { sizeof(struct content_row), 0 },
	[TABLE_NOTICE] = { sizeof(struct notice_row), 1 },
};

static unsigned slot_of(unsigned table)
{
	return table < TABLE_END ? table : 0;
}

const void *entry_view(const struct entry *e)
{
	return e->view;
}

static void *view_of(struct entry *e)
{
	return e->view;
}

static void read_view(const struct row *row, void *view)
{
	switch (row->table) {
	case TABLE_USER: user_row_read(row, view); break;
	case TABLE_GROUP: group_row_read(row, view); break;
	case TABLE_MEM: mem_row_read(row, view); break;
	case TABLE_FILE: file_row_read(row, view); break;
	case TABLE_SHARE: share_row_read(row, view); break;
	case TABLE_SESS: sess_row_read(row, view); break;
	case TABLE_ROLE: role_row_read(row, view); break;
	case TABLE_CONTENT: content_row_read(row, view); break;
	case TABLE_NOTICE: notice_row_read(row, view); break;
	default: break; /* unknown tables are only kept */
	}
}

/* -- hubs */

/* The key of a hub: index, then a and b. Fields before the last have a fixed size, so no two keys look alike. */
struct hub_key {
	size_t len;
	uint8_t bytes[HUB_KEY_MAX];
};

static void hub_key_make(struct hub_key *k, unsigned index, const void *a, size_t a_len, const void *b, size_t b_len)
{
	assert(1 + a_len + b_len <= sizeof(k->bytes));
	k->bytes[0] = (uint8_t)index;
	if (a_len != 0)
		memcpy(k->bytes + 1, a, a_len);
	if (b_len != 0)
		memcpy(k->bytes + 1 + a_len, b, b_len);
	k->len = 1 + a_len + b_len;
}

static struct hub *hub_by_key(const struct registry *reg, const struct hub_key *k)
{
	struct hub *hub = NULL;
	HASH_FIND(hh, reg->hubs, k->bytes, k->len, hub);
	return hub;
}

struct hub *hub_find(const struct registry *reg, unsigned index, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct hub_key k;
	if (1 + a_len + b_len > sizeof(k.bytes))
		return NULL; /* no row has such a name */
	hub_key_make(&k, index, a, a_len, b, b_len);
	return hub_by_key(reg, &k);
}

static struct hub *hub_get(struct registry *reg, const struct hub_key *k)
{
	struct hub *hub = hub_by_key(reg, k);
	if (hub != NULL)
		return hub;
	hub = try_alloc(sizeof(*hub) + k->len);
	if (hub == NULL)
		return NULL;
	hub->key_len = (uint16_t)k->len;
	memcpy(hub->key, k->bytes, k->len);
	HASH_ADD_KEYPTR(hh, reg->hubs, hub->key, k->len, hub);
	if (hub->hh.tbl == NULL) {
		free(hub);
		return NULL;
	}
	return hub;
}

/* The hubs a row belongs to; *n of them. A name that has not come yet gives none. */
static unsigned hub_keys_of(const struct row *row, const union any_view *v, struct hub_key keys[INDEXES_OF_A_ROW])
{
	unsigned n = 0;
#define HUB2(index, a, a_len, b, b_len) hub_key_make(&keys[n++], index, a, a_len, b, b_len)
#define HUB1(index, a, a_len) HUB2(index, a, a_len, NULL, 0)
	if (row_closed(row)) {
		HUB1(INDEX_CLOSED, NULL, 0);
		return n;
	}
	switch (row->table) {
	case TABLE_USER:
		if (v->user.name.len != 0)
			HUB1(INDEX_USERS_NAMED, v->user.name.data, v->user.name.len);
		break;
	case TABLE_GROUP:
		if (v->group.name.len != 0)
			HUB1(INDEX_GROUPS_NAMED, v->group.name.data, v->group.name.len);
		break;
	case TABLE_MEM:
		HUB1(INDEX_GROUP_MEMS, v->mem.key.gid.b, 16);
		HUB1(INDEX_USER_MEMS, v->mem.key.uid.b, 16);
		HUB2(INDEX_MEMBER, v->mem.key.gid.b, 16, v->mem.key.uid.b, 16);
		break;
	case TABLE_FILE:
		HUB1(INDEX_GROUP_FILES, v->file.gid.b, 16);
		if (v->file.name.len != 0)
			HUB2(INDEX_FILES_NAMED, v->file.gid.b, 16, v->file.name.data, v->file.name.len);
		break;
	case TABLE_SHARE:
		HUB2(INDEX_FILE_SHARES, v->share.key.gid.b, 16, v->share.key.fid.b, 16);
		HUB2(INDEX_DEVICE_SHARES, v->share.key.uid.b, 16, v->share.device.b, 32);
		HUB2(INDEX_MEMBER_SHARES, v->share.key.gid.b, 16, v->share.key.uid.b, 16);
		break;
	case TABLE_SESS: HUB1(INDEX_USER_SESSIONS, v->sess.key.uid.b, 16); break;
	case TABLE_NOTICE: HUB1(INDEX_USER_NOTICES, v->notice.whom.b, 16); break;
	default: break;
	}
#undef HUB1
#undef HUB2
	return n;
}

static void link_in(struct entry *e, struct link *link, struct hub *hub)
{
	*link = (struct link){ .next = hub->first, .hub = hub, .entry = e };
	if (hub->first != NULL)
		hub->first->prev = link;
	hub->first = link;
	hub->summary.valid = false;
}

static void link_out(struct link *link)
{
	struct hub *hub = link->hub;
	if (hub == NULL)
		return;
	if (link->prev != NULL)
		link->prev->next = link->next;
	else
		hub->first = link->next;
	if (link->next != NULL)
		link->next->prev = link->prev;
	hub->summary.valid = false;
	link->hub = NULL;
}

/* -- entries */

/* Rows of unknown tables share one hash: their key there is the table's number and the key. */
static struct slice key_in_slot(uint16_t table, struct slice key, uint8_t scratch[2 + ROW_KEY_MAX])
{
	if (slot_of(table) != 0)
		return key;
	scratch[0] = (uint8_t)(table >> 8);
	scratch[1] = (uint8_t)table;
	memcpy(scratch + 2, key.data, key.len);
	return slice_of(scratch, key.len + 2);
}

struct entry *entry_find(const struct registry *reg, uint16_t table, struct slice key)
{
	uint8_t scratch[2 + ROW_KEY_MAX];
	struct entry *e = NULL;

	if (key.len == 0 || key.len > ROW_KEY_MAX)
		return NULL;
	struct slice k = key_in_slot(table, key, scratch);
	HASH_FIND(hh, reg->tables[slot_of(table)], k.data, k.len, e);
	return e;
}

static struct entry *entry_alloc(uint16_t table, struct slice key)
{
	unsigned slot = slot_of(table);
	size_t view = (shapes[slot].view_size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	size_t links = shapes[slot].links * sizeof(struct link);
	struct entry *e = try_alloc(sizeof(*e) + view + links + key.len);

	if (e == NULL)
		return NULL;
	e->table = table;
	e->nlinks = shapes[slot].links;
	e->links = (struct link *)((uint8_t *)e->view + view);
	e->key = (uint8_t *)e->links + links;
	memcpy(e->key, key.data, key.len);
	return e;
}

struct entry *entry_get(struct registry *reg, uint16_t table, struct slice key)
{
	uint8_t scratch[2 + ROW_KEY_MAX];
	unsigned slot = slot_of(table);
	struct entry *e = entry_find(reg, table, key);

	if (e != NULL)
		return e;
	struct slice k = key_in_slot(table, key, scratch);
	e = entry_alloc(table, k);
	if (e == NULL)
		return NULL;
	HASH_ADD_KEYPTR(hh, reg->tables[slot], e->key, k.len, e);
	if (e->hh.tbl == NULL) {
		free(e);
		return NULL;
	}
	return e;
}

bool entry_prepare(struct registry *reg, struct entry *e, const struct row *row)
{
	struct hub_key keys[INDEXES_OF_A_ROW];
	union any_view view;

	if (e->nlinks == 0)
		return true;
	read_view(row, &view);
	unsigned n = hub_keys_of(row, &view, keys);
	for (unsigned i = 0; i < n; i++)
		if (hub_get(reg, &keys[i]) == NULL)
			return false;
	return true;
}

static void link_all(struct registry *reg, struct entry *e)
{
	struct hub_key keys[INDEXES_OF_A_ROW];
	unsigned n = hub_keys_of(e->row, entry_view(e), keys);

	assert(n <= e->nlinks);
	for (unsigned i = 0; i < n; i++) {
		struct hub *hub = hub_by_key(reg, &keys[i]);
		assert(hub != NULL); /* entry_prepare() */
		link_in(e, &e->links[i], hub);
	}
}

static void digest_move(struct registry *reg, struct entry *e, const struct row *row)
{
	struct digest *d = &reg->digests[slot_of(e->table)];

	if (e->row != NULL && !row_closed(e->row)) {
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
	struct row *old = e->row;

	for (unsigned i = 0; i < e->nlinks; i++)
		link_out(&e->links[i]);
	digest_move(reg, e, row);
	e->row = row;
	if (row == NULL)
		return old;
	read_view(row, view_of(e));
	if (e->table == TABLE_CONTENT) {
		struct content_row *content = view_of(e);
		content->held = e->held;
	}
	if (e->nlinks != 0)
		link_all(reg, e);
	return old;
}

void entry_set_held(struct entry *e, bool held)
{
	struct content_row *content = view_of(e);
	e->held = content->held = held;
}

void entry_release(struct registry *reg, struct entry *e)
{
	if (e->row != NULL || e->pending != 0)
		return;
	HASH_DEL(reg->tables[slot_of(e->table)], e);
	free(e);
}

void registry_free_rows(struct registry *reg)
{
	struct hub *hub, *next_hub;

	for (unsigned slot = 0; slot < TABLE_END; slot++) {
		struct entry *e, *next;
		HASH_ITER(hh, reg->tables[slot], e, next) {
			HASH_DEL(reg->tables[slot], e);
			row_unref(e->row);
			free(e);
		}
	}
	HASH_ITER(hh, reg->hubs, hub, next_hub) {
		HASH_DEL(reg->hubs, hub);
		free(hub);
	}
}
