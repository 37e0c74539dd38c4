/* core/registry/registry_internal.h - how the registry keeps its rows; for core/registry/registry*.c and notice.c only.
 *
 * An entry is the place of one key. It stays while a step of an unfinished change names it, even if its row is gone, so
 * that undoing needs no memory. Hubs are the secondary indexes: each a list of entries with one property in common (all
 * memberships of a group, all claims on a name). A hub lives as long as the registry: there is one per user, group, file,
 * name and device that was ever seen, and the rows of users, groups and files are never dropped either.
 *
 * There are millions of them, so an entry has no copy of anything: its key is its row's, its columns are taken apart when
 * somebody asks (views.h), and the entry of a link is found by the link's position, which each index has. */
#ifndef SHOAL_REGISTRY_REGISTRY_INTERNAL_H
#define SHOAL_REGISTRY_REGISTRY_INTERNAL_H
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/registry/node_table.h"
#include "core/registry/registry.h"
#include "core/registry/views.h"

enum { INDEX_CLOSED = INDEX_COUNT }; /* closed rows whose dot is not covered yet */
#define INDEXES_OF_A_ROW 3
#define PLACES_OF_A_ROW (1 + INDEXES_OF_A_ROW)
#define HUB_KEY_MAX (16 + 240)

struct link {
	struct link *prev, *next; /* prev NULL: the first of its hub */
};

struct hub {
	struct node node; /* own: the index */
	struct link *first;
	uint16_t key_len;
	uint8_t key[];    /* of INDEX_GROUP_MEMS: then, aligned, a struct group_summary */
};

struct entry {
	struct node node; /* own: ENTRY_.. */
	struct row *last; /* its row, or, if that is gone, the last one, for its key; never NULL */
	void *view;       /* of the row; NULL: nobody has asked */
	uint64_t hash;    /* what it adds to the digest; 0 if closed */
	struct link links[];
};

enum {
	ENTRY_PRESENT = 1, /* `last` is its row now */
	ENTRY_MARKED = 2,  /* the snapshot under way has it */
	ENTRY_HELD = 4,    /* content: survives a change of the row */
	ENTRY_STEP = 8,    /* added once for each step that names it */
};

enum step_kind { STEP_ROW, STEP_VECTOR, STEP_REQUEST };

/* What one change did to one thing, and how that was before. */
struct step {
	enum step_kind kind;
	bool dropped; /* ROW: closed and covered, so it is not kept */
	union {
		struct {
			struct entry *entry;
			struct row *before, *after;
		} row;
		struct dot vector; /* seq: before */
		struct id16 request;
	};
	uint64_t seq_after; /* VECTOR */
};

struct undo {
	struct undo *next, *prev; /* newer, older */
	uint64_t number;
	struct step *steps;
	size_t n, cap;
};

struct request {
	UT_hash_handle hh;
	struct id16 id;
	struct stamp stamp;
	uint64_t seen_ms;
};

struct registry {
	uint16_t tracker;
	uint64_t log;
	uint64_t hlc;
	struct node_table tables[TABLE_END]; /* entries; 0: of all tables unknown here */
	struct node_table hubs;
	struct digest digests[TABLE_END];
	struct views *views;
	struct request *requests; /* in the order they came */
	struct vvec vector, durable_vector;
	struct undo *oldest, *newest;
	uint64_t made, durable;
	size_t pending;
	struct buf found; /* notices not taken yet: wire rows */
};

/* -- registry.c */
/* A loaded row into its place; takes over the reference. SHOAL_EBUSY: no memory. */
enum shoal_err registry_take_row(struct registry *reg, struct row *row);

/* -- registry_index.c */
/* NULL: it has none now. */
static inline struct row *entry_row(const struct entry *e)
{
	return (e->node.own & ENTRY_PRESENT) != 0 ? e->last : NULL;
}
struct entry *entry_find(const struct registry *reg, uint16_t table, struct slice key);
/* The entry of the row's key, made (without its row) if there is none; NULL: no memory. */
struct entry *entry_get(struct registry *reg, struct row *row);
/* Where entry_get() and entry_set() will look for that row: in which tables, for which hashes. Their number. */
struct place {
	const struct node_table *table;
	uint32_t hash;
};
unsigned entry_places(const struct registry *reg, const struct row *row, struct place places[PLACES_OF_A_ROW]);
/* Makes the hubs that the row will need: false: no memory. */
bool entry_prepare(struct registry *reg, const struct row *row);
/* Puts the row (prepared, or one that was there before; NULL: none) in place: indexes, digest, view. Takes over the
 * reference and returns the row that was there with a reference. Cannot fail. */
struct row *entry_set(struct registry *reg, struct entry *e, struct row *row);
/* Content rows: whether the hashes are here. */
void entry_set_held(struct entry *e, bool held);
/* It stays until the matching entry_unpin(), which removes it if it has neither row nor pin. */
void entry_pin(struct entry *e);
void entry_unpin(struct registry *reg, struct entry *e);
/* The same for an entry that entry_get() may just have made. */
void entry_release(struct registry *reg, struct entry *e);
const void *entry_view(const struct registry *reg, const struct entry *e);
struct hub *hub_find(const struct registry *reg, unsigned index, const void *a, size_t a_len, const void *b, size_t b_len);
/* The entry that a link of that index is in. */
struct entry *link_entry(const struct link *link, unsigned index);
struct group_summary *hub_summary(const struct hub *hub); /* of INDEX_GROUP_MEMS */
/* The first entry of a table, with a row or without, and the next; NULL: the end. Nothing may be added between the calls. */
const struct entry *entry_first(const struct registry *reg, unsigned table);
const struct entry *entry_after(const struct registry *reg, const struct entry *e);
void registry_free_rows(struct registry *reg);

/* -- registry_undo.c */
/* The undo to add to: *u, or a new one that is entered as the newest. NULL: no memory. */
struct undo *undo_get(struct registry *reg, struct undo **u);
/* Room for n steps more: false: no memory. */
bool undo_reserve(struct undo *u, size_t n);
void undo_row(struct undo *u, struct entry *e, struct row *before, struct row *after);
/* Takes the newest steps back, down to `n`. */
void undo_back_to(struct registry *reg, struct undo *u, size_t n);
/* After a failure: an undo without steps that this call made is gone again. */
void undo_discard_if_empty(struct registry *reg, struct undo **u, bool was_new);

/* -- requests, registry_request.c */
/* SHOAL_OK; added says whether it was new. */
enum shoal_err request_add(struct registry *reg, const struct id16 *id, const struct stamp *stamp, uint64_t now_ms,
                           bool *added);
void request_remove(struct registry *reg, const struct id16 *id);
void registry_free_requests(struct registry *reg);

/* -- notice_watch.c: told about every merge of rows from others; what they find goes to reg->found, whose failure is
 * sticky. */
/* incoming was merged: before (NULL: none) is how it was; ignored: rule (a) kept it out. */
void notice_merged(struct registry *reg, const struct record *rec, const struct row *before, const struct row *incoming,
                   bool ignored);
/* A row of ours that a snapshot says is closed. */
void notice_dropped(struct registry *reg, const struct row *before, const struct vvec *sender, const struct stamp *at);
/* A row that a snapshot brought and that was not here before: somebody may lose a name to it. */
void notice_arrived(struct registry *reg, const struct record *rec, const struct row *row);
/* The record is going to be merged, and has been: who owned the groups it touches, and who does now. */
struct owners {
	struct owner_before {
		struct id16 gid, uid;
		bool had;
	} *list;
	size_t n;
};
enum shoal_err notice_owners_before(const struct registry *reg, const struct record *rec, struct owners *out);
void notice_record_done(struct registry *reg, const struct record *rec, const struct owners *before);
/* The same for own records too: who was told that he lost a name is told when it is his again. */
void notice_names_freed(struct registry *reg, const struct record *rec);
#endif
