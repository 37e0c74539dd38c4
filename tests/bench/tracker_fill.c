/* tests/bench/tracker_fill.c - writes a tracker's database of any size: what a real tracker would have written.
 *
 * usage: tracker_fill DATABASE USERS GROUPS FILES [MEMBERS [LOG]]
 * The same managers make the same ops as in a tracker, and the same store commits them; only passwords are cheap (scrypt
 * with ln=4, one salt for all), so that thousands of clients can log in. Group 0 has 64 members and 100 files (fewer if
 * there are not so many), each shared by three of them: that is the one for reading. The other groups have MEMBERS (1)
 * members and share the other files. LOG is how many of the newest records stay in the log (all). Names: load/fleet.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "core/net/tls.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/bench/load/fleet.h"
#include "tracker/store_sqlite.h"

enum { OPS_PER_COMMIT = 512, READ_MEMBERS = 64, READ_FILES = 100, READ_SEEDERS = 3 };

struct fill {
	size_t users, groups, files, members;
	uint64_t ops, n_ops, keep; /* made, all that will be, records kept */
	struct registry *reg;
	struct store *store;
	struct store_txn *txn;
	struct undo *undo;
	struct id32 device;
	struct id16 *uids;
	char record[PASSWORD_RECORD_MAX];
	uint64_t wall_ms;
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void check(enum shoal_err rc, const struct error *e, const char *what)
{
	if (rc != SHOAL_OK)
		die("%s: %s", what, e != NULL && e->message[0] != '\0' ? e->message : error_default(rc));
}

static void commit(struct fill *f)
{
	struct error e = { 0 };

	if (f->undo == NULL)
		return;
	check(store_sqlite_ops.commit(f->store, &f->txn, 1, &e), &e, "commit");
	registry_commit_done(f->reg, f->undo);
	store_txn_free(f->txn);
	f->undo = NULL;
	if ((f->txn = store_txn_new()) == NULL)
		die("no memory");
}

static void begin(struct fill *f, enum op_kind kind, struct op *op)
{
	struct id16 request;
	random_bytes(request.b, sizeof(request.b));
	op_begin(f->reg, kind, &request, f->wall_ms, op);
}

static void apply(struct fill *f, struct op *op)
{
	check(registry_apply_op(f->reg, op, f->txn, &f->undo), NULL, "apply");
	if (++f->ops + f->keep <= f->n_ops) { /* as if the log had been cut up to here */
		buf_reset(&f->txn->records);
		check(vvec_raise(&f->txn->floor, registry_log(f->reg), f->ops), NULL, "floor");
	}
	if (f->ops % OPS_PER_COMMIT == 0)
		commit(f);
}

static void make_users(struct fill *f)
{
	struct error e = { 0 };
	char name[32];
	struct op op;

	for (size_t i = 0; i < f->users; i++) {
		snprintf(name, sizeof(name), FLEET_USER, i);
		begin(f, OP_CREATE_USER, &op);
		check(user_create(f->reg, &op, slice_str(name), slice_str(f->record), &f->uids[i], &e), &e, name);
		apply(f, &op);
	}
}

static const struct id16 *owner_of(const struct fill *f, size_t group)
{
	return &f->uids[group % f->users];
}

static size_t members_of(const struct fill *f, size_t group)
{
	return smaller(group == 0 ? READ_MEMBERS : f->members, f->users);
}

static void add_member(struct fill *f, const struct id16 *owner, const struct id16 *gid, const struct id16 *who)
{
	struct error e = { 0 };
	struct op op;

	begin(f, OP_JOIN_GROUP, &op);
	check(group_join(f->reg, &op, who, gid, &e), &e, "join");
	apply(f, &op);
	begin(f, OP_ACCEPT_REQUEST, &op);
	check(group_accept(f->reg, &op, owner, gid, who, &e), &e, "accept");
	apply(f, &op);
}

static void make_file(struct fill *f, const struct id16 *gid, size_t number, size_t group)
{
	struct error e = { 0 };
	struct content_op *c = content_op_new(CONTENT_PUT);
	struct upload up = { .size = 100000 + number % 400000, .piece_size = CONTENT_PIECE_SIZE };
	size_t seeders = smaller(group == 0 ? READ_SEEDERS : 1, members_of(f, group));
	char name[32];
	struct content_hash ch;
	struct id16 fid;
	struct op op;
	bool joined;

	snprintf(name, sizeof(name), FLEET_FILE, number);
	up.name = slice_str(name);
	sha256_of(name, strlen(name), &up.file_hash); /* of one piece: its hash is the file's */
	content_hash_begin(&ch, up.size, &up.file_hash);
	content_hash_add(&ch, up.file_hash.b, sizeof(up.file_hash.b));
	content_hash_end(&ch, &up.content);
	if (c == NULL)
		die("no memory");
	c->id = up.content;
	c->size = up.size;
	c->file_hash = up.file_hash;
	buf_put(&c->data, up.file_hash.b, sizeof(up.file_hash.b));
	check(store_content(&store_sqlite_ops, f->store, c, &e), &e, "put hashes");
	c->kind = CONTENT_CHECK;
	check(store_content(&store_sqlite_ops, f->store, c, &e), &e, "check hashes");
	content_op_free(c);
	for (size_t s = 0; s < seeders; s++) {
		begin(f, OP_UPLOAD_FILE_DATA, &op);
		check(file_upload(f->reg, &op, &f->uids[(group + s) % f->users], &f->device, gid, &up, &fid, &joined, &e), &e,
		      "upload");
		apply(f, &op);
	}
}

/* Files of that group: the first READ_FILES are group 0's, the others take turns. */
static size_t file_of(const struct fill *f, size_t group, size_t i)
{
	size_t first = f->groups == 1 ? f->files : smaller(READ_FILES, f->files);
	if (group == 0)
		return i < first ? i : f->files;
	return first + (group - 1) + i * (f->groups - 1);
}

static void make_groups(struct fill *f)
{
	struct error e = { 0 };
	struct id16 gid;
	char name[32];
	struct op op;
	size_t n;

	for (size_t g = 0; g < f->groups; g++) {
		snprintf(name, sizeof(name), FLEET_GROUP, g);
		begin(f, OP_CREATE_GROUP, &op);
		check(group_create(f->reg, &op, owner_of(f, g), slice_str(name), &gid, &e), &e, name);
		apply(f, &op);
		for (size_t m = 1; m < members_of(f, g); m++)
			add_member(f, owner_of(f, g), &gid, &f->uids[(g + m) % f->users]);
		for (size_t i = 0; (n = file_of(f, g, i)) < f->files; i++)
			make_file(f, &gid, n, g);
	}
}

static uint64_t count_ops(const struct fill *f)
{
	uint64_t n = f->users + f->groups + f->files;

	for (size_t g = 0; g < f->groups; g++)
		n += 2 * (members_of(f, g) - 1);
	if (f->groups != 0)
		n += (smaller(READ_SEEDERS, members_of(f, 0)) - 1) *
		     (f->groups == 1 ? f->files : smaller(READ_FILES, f->files));
	return n;
}

static void open_all(struct fill *f, const char *path)
{
	struct error e = { 0 };
	uint8_t seed[SEED_SIZE];

	memset(seed, FLEET_SEED, sizeof(seed));
	struct tls_identity *identity = tls_identity_new(seed, &e);
	if (identity == NULL)
		die("%s", e.message);
	f->device = identity->id;
	tls_identity_free(identity);
	check(password_hash(FLEET_PASSWORD, strlen(FLEET_PASSWORD), 4, f->record), NULL, "password");
	check(store_sqlite_ops.open(path, &f->store, &e), &e, path);
	f->reg = registry_new(1, random_u64() | 1);
	f->uids = xalloc((f->users + 1) * sizeof(*f->uids));
	f->txn = store_txn_new();
	f->wall_ms = clock_wall_ms();
}

static size_t number(const char *text)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);
	if (*text == '\0' || *end != '\0' || v > 100000000)
		die("'%s' is not a number", text);
	return (size_t)v;
}

int main(int argc, char **argv)
{
	struct fill f = { 0 };

	if (argc < 5 || argc > 7)
		die("usage: tracker_fill DATABASE USERS GROUPS FILES [MEMBERS [LOG]]");
	f.users = number(argv[2]);
	f.groups = number(argv[3]);
	f.files = number(argv[4]);
	f.members = argc > 5 ? number(argv[5]) : 1;
	if (f.users == 0 || (f.files != 0 && f.groups == 0) || f.members == 0)
		die("there must be users, and groups for files");
	f.n_ops = count_ops(&f);
	f.keep = argc > 6 ? number(argv[6]) : f.n_ops;
	uint64_t start = clock_mono_ms();
	open_all(&f, argv[1]);
	make_users(&f);
	make_groups(&f);
	commit(&f);
	if (f.ops != f.n_ops)
		die("%llu operations, %llu were expected", (unsigned long long)f.ops, (unsigned long long)f.n_ops);
	store_sqlite_idle(f.store);
	store_sqlite_ops.close(f.store);
	store_txn_free(f.txn);
	registry_free(f.reg);
	free(f.uids);
	printf("users=%zu groups=%zu files=%zu operations=%llu seconds=%.1f\n", f.users, f.groups, f.files,
	       (unsigned long long)f.ops, (double)(clock_mono_ms() - start) / 1e3);
	return 0;
}
