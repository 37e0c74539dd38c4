/* core/registry/registry.h - users, groups and files of one tracker, in memory: rows that merge.
 *
 * No clock, no dice, no I/O: what it needs is passed in. The way of every change:
 *
 *     op_begin(reg, OP_.., &request, wall_ms, &op);      a stamp and a dot
 *     group_join(reg, &op, ...);                         a manager checks the command and appends rows to the op
 *     registry_apply_op(reg, &op, txn, &undo);           merged, record and rows written into txn for the store
 *     ... the store commits ...
 *     registry_commit_done(reg, undo);                   or, if it failed, registry_undo(reg, undo), newest first
 *
 * Operations of other trackers: registry_apply() of the received record; snapshots: registry_apply_snapshot(). All of
 * them, and registry_load(), end in the one function that merges. Reads see what is applied and not yet durable; whoever
 * sends something because of a read waits for what was pending then (registry_pending()).
 * Views: user_manager.h, group_manager.h, file_manager.h, notice.h. Pointers to rows are good until the next change.
 * Loop thread only. */
#ifndef SHOAL_REGISTRY_REGISTRY_H
#define SHOAL_REGISTRY_REGISTRY_H
#include "core/registry/row.h"
#include "core/registry/store.h"
#include "core/registry/vvec.h"

struct registry;
struct undo;

#define HLC_AHEAD_MAX_MS 60000u          /* how far an operation from the future may drag the clock */
#define REQUEST_MEMORY_MS 3600000u       /* how long request ids are known */
#define REQUESTS_MAX 1000000u            /* and how many: the oldest go first */

/* tracker: its id; log: random, new with every start of the process, never 0. Aborts without memory (start-up). */
struct registry *registry_new(uint16_t tracker, uint64_t log);
void registry_free(struct registry *reg); /* NULL is fine; all undos are gone by then */
uint16_t registry_tracker(const struct registry *reg);
uint64_t registry_log(const struct registry *reg);

/* -- loading, before the first change; the order of the calls does not matter. SHOAL_EBUSY: no memory. */
enum shoal_err registry_load(struct registry *reg, const struct wire_row *row); /* SHOAL_EPROTO: not a row */
/* Many rows, in any order: they are in their places at the end, which frees the loader, whatever it says. NULL: no
 * memory. After an error only the end may follow, and what it says does not matter. */
struct registry_loader;
struct registry_loader *registry_loader_new(struct registry *reg);
enum shoal_err registry_loader_add(struct registry_loader *l, const struct wire_row *row); /* as registry_load() */
enum shoal_err registry_loader_add_row(struct registry_loader *l, struct row *row);        /* takes over the reference */
enum shoal_err registry_loader_end(struct registry_loader *l); /* NULL is fine */
enum shoal_err registry_load_vector(struct registry *reg, uint64_t log, uint64_t seq);
void registry_load_hlc(struct registry *reg, uint64_t hlc);
/* From records younger than an hour: a retry must be known after a restart too. */
enum shoal_err registry_load_request(struct registry *reg, const struct record *rec);

/* -- own operations */
struct op {
	enum op_kind kind;
	struct stamp stamp;
	struct id16 request;
	uint64_t wall_ms;
	struct buf rows; /* wire rows; a failed allocation is sticky */
};
/* request may be NULL: none. Nothing is taken until registry_apply_op(): an op may be thrown away with op_fini(). Only
 * one op at a time is between begin and apply. */
void op_begin(struct registry *reg, enum op_kind kind, const struct id16 *request, uint64_t wall_ms, struct op *op);
void op_fini(struct op *op);
bool op_is_empty(const struct op *op); /* nothing to change: answer without applying */
/* Whether a request id was applied already (within the hour), here or elsewhere, and as what. */
bool registry_known_request(const struct registry *reg, const struct id16 *request, struct stamp *stamp);

/* Applies the op as the next of the own log. txn (may be NULL): rows, record, vector and hlc are added to it. *undo: NULL
 * makes one, otherwise the op is added to it (one transaction of several ops has one undo). SHOAL_EBUSY: no memory;
 * SHOAL_EQUOTA: over RECORD_MAX. After a failure registry, txn and *undo are as before. The op is finished (op_fini) in
 * any case. */
enum shoal_err registry_apply_op(struct registry *reg, struct op *op, struct store_txn *txn, struct undo **undo);

/* -- operations of others. bytes: one whole record, relayed and stored as it came. Additionally SHOAL_EEXISTS: covered
 * already, nothing done; SHOAL_ECONFLICT: there is a gap before it; SHOAL_EPROTO, SHOAL_EINTEGRITY: not a record.
 * wall_ms: now, for the clock. What it undoes of somebody's work is kept for registry_take_notices(). */
enum shoal_err registry_apply(struct registry *reg, struct slice bytes, uint64_t wall_ms, struct store_txn *txn,
                              struct undo **undo);
/* All rows and the vector of a sender, as one change: with the rules of registry_merge.c. hlc: the sender's clock. */
enum shoal_err registry_apply_snapshot(struct registry *reg, struct row *const *rows, size_t n,
                                       const struct vvec *sender, uint64_t hlc, uint64_t wall_ms,
                                       struct store_txn *txn, struct undo **undo);
/* The same in portions, between which anything else may happen, so that nobody waits for a million rows: begin, rows in as
 * many portions as there are, end, each a change with an undo of its own. Only after the end do rows and vector belong
 * together: what the portions wrote into transactions must become durable in one with the end, or be undone. One at a time.
 * tables: bit t: rows of that table are sent, bit 0: of tables unknown here. Only of those is what is absent dropped, and
 * only REGISTRY_ALL_TABLES takes the vector.
 * staged: the store has the rows as they came and will adopt them; only what must be otherwise is written into txn. */
#define REGISTRY_ALL_TABLES 0xffffu
struct registry_snapshot;
struct registry_snapshot *registry_snapshot_new(struct registry *reg, const struct vvec *sender, uint64_t hlc,
                                                unsigned tables, bool staged); /* NULL: no memory */
void registry_snapshot_free(struct registry_snapshot *snap); /* NULL is fine; before the end: what was merged stays, undo it */
/* Failures as registry_apply(). */
enum shoal_err registry_snapshot_rows(struct registry_snapshot *snap, struct slice rows, uint64_t wall_ms,
                                      struct store_txn *txn, struct undo **undo);
enum shoal_err registry_snapshot_end(struct registry_snapshot *snap, uint64_t wall_ms, struct store_txn *txn,
                                     struct undo **undo);
/* The one function that merges: a run of wire rows (as in a record) into memory. Used by all of the above; here for
 * repair after a digest mismatch. The vector stays as it is. Failures as registry_apply_op(). */
enum shoal_err registry_merge(struct registry *reg, struct slice rows, struct store_txn *txn, struct undo **undo);

/* -- the fate of a change. Undos are ended in order: done oldest first, undone newest first (asserted). Frees `u`. */
void registry_commit_done(struct registry *reg, struct undo *u);
void registry_undo(struct registry *reg, struct undo *u);
size_t registry_pending(const struct registry *reg); /* undos not ended */
/* The number of the newest undo made and of the newest that is durable: a reply made when `made` was n may leave once
 * `durable` is n. */
uint64_t registry_made(const struct registry *reg);
uint64_t registry_durable(const struct registry *reg);
/* What a change did, row by row in the order it happened: before or after is NULL if there was or is none. */
typedef void undo_fn(void *ctx, const struct row *before, const struct row *after);
void undo_each(const struct undo *u, undo_fn *fn, void *ctx);

/* -- vector, clock, digests */
const struct vvec *registry_vector(const struct registry *reg);         /* pending ones included */
const struct vvec *registry_durable_vector(const struct registry *reg); /* what may be acknowledged and shipped */
uint64_t registry_hlc(const struct registry *reg);

struct digest { /* over rows that are not closed; comparable only at equal vectors */
	uint64_t count, sum;
};
struct digest registry_digest(const struct registry *reg, enum table table);
bool digest_eq(struct digest a, struct digest b);

/* -- a consistent cut for a snapshot: references to all rows and a copy of the vector, pending ones included: send it
 * only when registry_durable() has reached what registry_made() was. NULL: no memory. */
struct registry_cut {
	struct row **rows;
	size_t n;
	struct vvec vector;
	uint64_t hlc;
};
struct registry_cut *registry_cut_new(const struct registry *reg);
void registry_cut_free(struct registry_cut *cut);

/* -- rows by key and by index. NULL: there is none. */
const struct user_row *registry_user(const struct registry *reg, const struct id16 *uid);
const struct group_row *registry_group(const struct registry *reg, const struct id16 *gid);
const struct file_row *registry_file(const struct registry *reg, const struct id16 *gid, const struct id16 *fid);
const struct sess_row *registry_sess(const struct registry *reg, const struct id16 *uid, struct dot dot);
const struct role_row *registry_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
const struct content_row *registry_content(const struct registry *reg, const struct id32 *content);
const struct notice_row *registry_notice(const struct registry *reg, const struct id16 *id);
const struct row *registry_find_row(const struct registry *reg, uint16_t table, struct slice key);
size_t registry_count(const struct registry *reg, enum table table);
/* Whether the verified hashes of a content are here: SHOAL_ENOTFOUND if no content row has come yet. */
enum shoal_err registry_set_held(struct registry *reg, const struct id32 *content, bool held);

enum registry_index {      /* key -> rows */
	INDEX_USERS_NAMED,     /* name -> user */
	INDEX_GROUPS_NAMED,    /* name -> group */
	INDEX_GROUP_MEMS,      /* gid -> mem */
	INDEX_USER_MEMS,       /* uid -> mem */
	INDEX_MEMBER,          /* gid uid -> mem */
	INDEX_GROUP_FILES,     /* gid -> file */
	INDEX_FILES_NAMED,     /* gid name -> file */
	INDEX_FILE_SHARES,     /* gid fid -> share */
	INDEX_DEVICE_SHARES,   /* uid device -> share */
	INDEX_MEMBER_SHARES,   /* gid uid -> share */
	INDEX_USER_SESSIONS,   /* uid -> sess */
	INDEX_USER_NOTICES,    /* uid -> notice */
	INDEX_COUNT
};
struct registry_iter { /* private */
	const struct registry *reg;
	const void *next;
	enum registry_index index; /* INDEX_COUNT: all of a table */
};
/* The rows of an index in no particular order; b may be NULL. No change may come between the calls. */
struct registry_iter registry_by(const struct registry *reg, enum registry_index index, const void *a, size_t a_len,
                                 const void *b, size_t b_len);
struct registry_iter registry_all(const struct registry *reg, enum table table);
const void *registry_next(struct registry_iter *it); /* a struct user_row, ...; NULL at the end */

/* How often a row could not be taken apart for lack of memory: its view was lent, good only for the next couple of
 * hundred reads. Whoever collects pointers compares before and after: if it has risen, SHOAL_EBUSY. */
uint64_t registry_views_short(const struct registry *reg);

/* What the memberships of a group amount to; kept until one of them changes. Who owns it: group_owner(). */
struct group_summary {
	bool valid; /* private */
	uint32_t members, asked;
	struct id16 first;    /* the member with the earliest accept; meaningless without members */
	struct stamp first_at;
};
struct group_summary registry_group_summary(const struct registry *reg, const struct id16 *gid);

/* Forgets request ids older than an hour; cheap, call it now and then. */
void registry_expire(struct registry *reg, uint64_t wall_ms);
#endif
