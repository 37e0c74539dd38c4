/* client/shares.c */
#include "client/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/shares_db.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/base/workers.h"

struct share_key {
	struct id16 gid, fid;
};

struct share_entry {
	struct share share; /* first, so that a share is its entry */
	struct share_key key;
	UT_hash_handle hh;
};

struct shares {
	/* -- immutable after shares_open() */
	char *user;
	struct log *log;
	int lock;
	struct workers *writer; /* one thread: it alone touches db from now on */
	struct shares_db *db;
	/* -- engine thread */
	struct share_entry *table;
	uint32_t count;
	uint64_t digest;
};

/* One change on its way to the database. */
struct share_write {
	struct work work;
	struct shares_db *db;
	struct log *log;
	bool remove;
	struct share share; /* path is its own */
};

/* -- the user's folder and lock */

char *shares_folder(const char *state, const struct id32 *cluster, const char *user)
{
	struct buf name = { 0 };
	char hex[HEX32_SIZE];

	hex_encode(cluster->b, sizeof(cluster->b), hex);
	for (const char *p = user; *p != '\0'; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' ||
		             *p == '_';
		buf_printf(&name, plain ? "%c" : "%%%02X", (unsigned char)*p);
	}
	char *encoded = buf_steal_str(&name);
	char *folder = str_printf("%s/%.8s/%s", state, hex, encoded != NULL ? encoded : "%");
	free(encoded);
	return folder;
}

static enum shoal_err lock_folder(const char *folder, const char *user, int *out, struct error *e)
{
	char *path = str_printf("%s/lock", folder), pid[32] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	enum shoal_err rc = SHOAL_OK;

	if (fd < 0) {
		rc = error_errno(e, "cannot open '%s'", path);
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno != EWOULDBLOCK ? error_errno(e, "cannot lock '%s'", path) : SHOAL_EBUSY;
		ssize_t n = read(fd, pid, sizeof(pid) - 1);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		if (rc == SHOAL_EBUSY)
			error_set(e, rc, "%s is logged in by pid %s", user, pid[0] != '\0' ? pid : "unknown");
	} else {
		int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
		if (ftruncate(fd, 0) != 0 || !fs_write_all(fd, pid, (size_t)len))
			rc = error_errno(e, "cannot write '%s'", path);
	}
	free(path);
	if (rc != SHOAL_OK && fd >= 0)
		close(fd);
	else
		*out = fd;
	return rc;
}

/* -- the list in memory */

static struct share_key key_of(const struct id16 *gid, const struct id16 *fid)
{
	return (struct share_key){ .gid = *gid, .fid = *fid };
}

/* Counts the share in (by 1) or out (by -1). */
static void count_share(struct shares *s, const struct share_entry *entry, int by)
{
	struct id32 hash;
	uint64_t head = 0;

	if (entry->share.dropped)
		return;
	sha256_of(&entry->key, sizeof(entry->key), &hash);
	for (size_t i = 0; i < sizeof(head); i++)
		head = head << 8 | hash.b[i];
	s->digest += by > 0 ? head : -head;
	s->count += (uint32_t)by;
}

static struct share_entry *find_entry(struct shares *s, const struct id16 *gid, const struct id16 *fid)
{
	struct share_key key = key_of(gid, fid);
	struct share_entry *entry = NULL;

	HASH_FIND(hh, s->table, &key, sizeof(key), entry);
	return entry;
}

static void remove_entry(struct shares *s, struct share_entry *entry)
{
	count_share(s, entry, -1);
	HASH_DEL(s->table, entry);
	free(entry->share.info.path);
	free(entry);
}

static struct share_entry *add_entry(struct shares *s, const struct id16 *gid, const struct id16 *fid)
{
	struct share_entry *entry = try_alloc(sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->key = key_of(gid, fid);
	HASH_ADD(hh, s->table, key, sizeof(entry->key), entry);
	if (entry->hh.tbl != NULL)
		return entry;
	free(entry);
	return NULL;
}

/* Adds a copy, or replaces: what the engine noted about the old one is forgotten, but not that it is served. */
static struct share_entry *put_entry(struct shares *s, const struct share *row)
{
	struct share_entry *entry = find_entry(s, &row->info.gid, &row->info.fid);
	char *path = try_strdup(row->info.path);
	bool is_new = entry == NULL;

	if (is_new && path != NULL)
		entry = add_entry(s, &row->info.gid, &row->info.fid);
	if (path == NULL || entry == NULL) {
		free(path);
		return NULL;
	}
	bool served = entry->share.served;
	if (!is_new) {
		count_share(s, entry, -1);
		free(entry->share.info.path);
	}
	entry->share = *row;
	entry->share.info.path = path;
	entry->share.served = served;
	count_share(s, entry, 1);
	return entry;
}

static bool load_row(void *arg, const struct share *row)
{
	struct share_entry *entry = put_entry(arg, row);

	if (entry != NULL)
		entry->share.state = share_look(&entry->share);
	return entry != NULL;
}

static void clear_table(struct shares *s)
{
	while (s->table != NULL)
		remove_entry(s, s->table);
}

/* -- opening */

static enum shoal_err open_db(struct shares *s, const char *path, struct error *e)
{
	enum shoal_err rc = shares_db_open(path, &s->db, e);

	if (rc == SHOAL_OK)
		rc = shares_db_each(s->db, load_row, s, e);
	if (rc != SHOAL_OK) {
		shares_db_close(s->db);
		s->db = NULL;
		clear_table(s);
	}
	return rc;
}

/* Damaged: kept under another name for whoever can read it, and begun afresh. */
static enum shoal_err set_aside(struct shares *s, const char *path, struct error *e)
{
	char *aside = str_printf("%s.damaged-%llu", path, (unsigned long long)clock_wall_ms());
	char *wal = str_printf("%s-wal", path), *shm = str_printf("%s-shm", path);
	enum shoal_err rc = SHOAL_OK;

	log_line(s->log, LOG_ERROR, "shares", "%s; it is set aside as '%s'", e->message, aside);
	if (rename(path, aside) != 0)
		rc = error_errno(e, "cannot rename '%s'", path);
	else if ((unlink(wal) != 0 && errno != ENOENT) || (unlink(shm) != 0 && errno != ENOENT))
		rc = error_errno(e, "cannot remove what belongs to '%s'", path);
	free(aside);
	free(wal);
	free(shm);
	return rc == SHOAL_OK ? open_db(s, path, e) : rc;
}

struct shares *shares_open(const char *folder, const char *user, struct log *log, struct error *e)
{
	struct shares *s = xalloc(sizeof(*s));
	struct error own = { 0 };
	char *path = str_printf("%s/shares.db", folder);

	s->user = xstrdup(user);
	s->log = log;
	s->lock = -1;
	enum shoal_err rc = fs_mkdirs(folder, 0700, &own);
	if (rc == SHOAL_OK)
		rc = lock_folder(folder, user, &s->lock, &own);
	if (rc == SHOAL_OK) {
		rc = open_db(s, path, &own);
		if (rc == SHOAL_EINTEGRITY)
			rc = set_aside(s, path, &own);
	}
	free(path);
	if (rc != SHOAL_OK) {
		error_set(e, rc, "%s", own.message);
		shares_close(s);
		return NULL;
	}
	s->writer = workers_new(1, 0);
	return s;
}

void shares_close(struct shares *s)
{
	if (s == NULL)
		return;
	if (s->writer != NULL)
		workers_free(s->writer);
	shares_db_close(s->db);
	clear_table(s);
	if (s->lock >= 0)
		close(s->lock);
	free(s->user);
	free(s);
}

const char *shares_user(const struct shares *s)
{
	return s->user;
}

/* -- changes */

static void run_write(struct work *work)
{
	struct share_write *w = container_of(work, struct share_write, work);
	struct error e = { 0 };
	enum shoal_err rc = w->remove ? shares_db_remove(w->db, &w->share.info.gid, &w->share.info.fid, &e)
	                              : shares_db_put(w->db, &w->share, &e);

	if (rc != SHOAL_OK)
		log_line(w->log, LOG_ERROR, "shares", "cannot keep the list of shares: %s", e.message);
	free(w->share.info.path);
	free(w);
}

static enum shoal_err write_behind(struct shares *s, const struct share *share, bool remove)
{
	struct share_write *w = try_alloc(sizeof(*w));

	if (w == NULL)
		return SHOAL_EBUSY;
	*w = (struct share_write){ .work.run = run_write, .db = s->db, .log = s->log, .remove = remove, .share = *share };
	w->share.info.path = remove ? NULL : try_strdup(share->info.path);
	if ((!remove && w->share.info.path == NULL) || !workers_post(s->writer, &w->work)) {
		free(w->share.info.path);
		free(w);
		return SHOAL_EBUSY;
	}
	return SHOAL_OK;
}

void shares_after_writing(struct shares *s, struct work *work)
{
	workers_post(s->writer, work); /* one thread, no limit: it comes after what was posted before */
}

static bool look(const char *path, struct share_info *out)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	out->size = (uint64_t)st.st_size;
	out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	out->inode = (uint64_t)st.st_ino;
	return true;
}

enum shoal_err shares_put(struct shares *s, const struct share_info *info, const struct id32 *content)
{
	struct share row = { .info = *info, .content = *content, .fresh = true };
	struct share_info now = { 0 };

	if (row.info.mtime_ns == 0 && row.info.inode == 0 && look(info->path, &now)) {
		row.info.mtime_ns = now.mtime_ns;
		row.info.inode = now.inode;
	}
	struct share_entry *entry = put_entry(s, &row);
	return entry != NULL ? write_behind(s, &entry->share, false) : SHOAL_EBUSY;
}

void shares_remove(struct shares *s, const struct id16 *gid, const struct id16 *fid)
{
	struct share_entry *entry = find_entry(s, gid, fid);

	if (entry == NULL)
		return;
	if (write_behind(s, &entry->share, true) != SHOAL_OK)
		log_line(s->log, LOG_ERROR, "shares", "'%s' stays in the list of shares: out of memory",
		         entry->share.info.file);
	remove_entry(s, entry);
}

void shares_set_dropped(struct shares *s, struct share *share, bool dropped)
{
	struct share_entry *entry = container_of(share, struct share_entry, share);

	if (share->dropped == dropped)
		return;
	count_share(s, entry, -1);
	share->dropped = dropped;
	count_share(s, entry, 1);
	if (write_behind(s, share, false) != SHOAL_OK)
		log_line(s->log, LOG_ERROR, "shares", "cannot note the change of '%s': out of memory", share->info.file);
}

struct share *shares_find(struct shares *s, const struct id16 *gid, const struct id16 *fid)
{
	struct share_entry *entry = find_entry(s, gid, fid);
	return entry != NULL ? &entry->share : NULL;
}

struct share *shares_next(struct shares *s, const struct share *after)
{
	const struct share_entry *last = (const struct share_entry *)(const void *)after;
	struct share_entry *entry = last == NULL ? s->table : last->hh.next;
	return entry != NULL ? &entry->share : NULL;
}

uint32_t shares_count(const struct shares *s)
{
	return s->count;
}

uint64_t shares_digest(const struct shares *s)
{
	return s->digest;
}

enum share_state share_look(const struct share *share)
{
	struct share_info now = { 0 };

	if (!look(share->info.path, &now))
		return SHARE_MISSING;
	return now.size == share->info.size && now.mtime_ns == share->info.mtime_ns && now.inode == share->info.inode
	               ? SHARE_SAME
	               : SHARE_CHANGED;
}
