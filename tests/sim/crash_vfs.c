/* tests/sim/crash_vfs.c - what SQLite sees; crash_cut.c makes the disks that a power cut leaves.
 *
 * It promises what SQLite's own VFS promises on Linux: sectors of 4096 bytes, and that a write leaves its neighbours
 * alone (powersafe overwrite). A new journal or WAL has its name flushed with its first flush, as there. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/crash_disk.h"

/* -- the disk */
static void *grown(void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap == 0 ? 64 : *cap * 2;
	array = realloc(array, *cap * size);
	if (array == NULL)
		abort();
	return array;
}

struct crash_disk *crash_disk_new(void)
{
	struct crash_disk *d = xalloc(sizeof(*d));
	d->vfs = xalloc(sizeof(*d->vfs));
	return d;
}

void crash_disk_free(struct crash_disk *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_nodes; i++) {
		free(d->nodes[i].now.bytes);
		free(d->nodes[i].first.bytes);
	}
	for (size_t i = 0; i < d->n_events; i++)
		free(d->events[i].data);
	free(d->nodes);
	free(d->events);
	free(d->vfs);
	free(d);
}

struct crash_event *crash_add_event(struct crash_disk *d, enum crash_event_kind kind, unsigned node)
{
	d->events = grown(d->events, d->n_events, &d->cap_events, sizeof(*d->events));
	struct crash_event *ev = &d->events[d->n_events++];
	*ev = (struct crash_event){ .kind = kind, .node = node };
	return ev;
}

unsigned crash_add_node(struct crash_disk *d)
{
	d->nodes = grown(d->nodes, d->n_nodes, &d->cap_nodes, sizeof(*d->nodes));
	d->nodes[d->n_nodes] = (struct crash_node){ .now = { 0 } };
	return (unsigned)d->n_nodes++;
}

void crash_bytes_resize(struct crash_bytes *b, size_t len)
{
	if (len > b->cap) {
		b->cap = len + len / 2;
		b->bytes = realloc(b->bytes, b->cap);
		if (b->bytes == NULL)
			abort();
	}
	if (len > b->len)
		memset(b->bytes + b->len, 0, len - b->len);
	b->len = len;
}

void crash_bytes_write(struct crash_bytes *b, size_t at, const void *data, size_t len)
{
	if (at + len > b->len)
		crash_bytes_resize(b, at + len);
	memcpy(b->bytes + at, data, len);
}

int crash_find_name(const struct crash_names *names, const char *name)
{
	for (unsigned i = 0; i < CRASH_NAMES; i++)
		if (names->used[i] && strcmp(names->name[i], name) == 0)
			return (int)i;
	return -1;
}

void crash_set_name(struct crash_names *names, const char *name, unsigned node)
{
	unsigned i = 0;
	while (i < CRASH_NAMES && names->used[i])
		i++;
	if (i == CRASH_NAMES || (size_t)snprintf(names->name[i], CRASH_NAME_MAX, "%s", name) >= CRASH_NAME_MAX)
		abort();
	names->used[i] = true;
	names->node[i] = node;
}

size_t crash_disk_events(const struct crash_disk *d)
{
	return d->n_events;
}

uint64_t crash_disk_bytes(const struct crash_disk *d)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < CRASH_NAMES; i++)
		if (d->names.used[i])
			sum += d->nodes[d->names.node[i]].now.len;
	return sum;
}

void crash_disk_fail(struct crash_disk *d, const struct crash_fault *fault)
{
	d->fault = *fault;
	d->calls = d->failed = 0;
}

unsigned crash_disk_failed(const struct crash_disk *d)
{
	return d->failed;
}

static bool fails(struct crash_disk *d, enum crash_call call)
{
	const struct crash_fault *f = &d->fault;
	if (f->nth == 0 || f->call != call)
		return false;
	d->calls++;
	bool now = d->calls == f->nth || (f->for_ever && d->calls > f->nth);
	d->failed += now;
	return now;
}

/* -- files */
struct crash_file {
	sqlite3_file base;
	struct crash_disk *disk;
	unsigned node;
	bool flush_name; /* with its first flush */
	char goes[CRASH_NAME_MAX]; /* deleted when it is closed */
};

static struct crash_bytes *bytes_of(struct crash_file *f)
{
	return &f->disk->nodes[f->node].now;
}

static int delete_name(struct crash_disk *d, const char *name, bool flush)
{
	int i = crash_find_name(&d->names, name);
	if (i < 0)
		return SQLITE_IOERR_DELETE_NOENT;
	d->names.used[i] = false;
	struct crash_event *ev = crash_add_event(d, CRASH_EV_DELETE, d->names.node[i]);
	memcpy(ev->name, d->names.name[i], sizeof(ev->name));
	if (flush)
		crash_add_event(d, CRASH_EV_NAMES, 0);
	return SQLITE_OK;
}

static int file_close(sqlite3_file *file)
{
	struct crash_file *f = (struct crash_file *)file;
	if (f->goes[0] != '\0')
		delete_name(f->disk, f->goes, false);
	return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
	struct crash_file *f = (struct crash_file *)file;
	struct crash_bytes *b = bytes_of(f);
	size_t from = (size_t)at, n = 0;

	if (fails(f->disk, CRASH_READ))
		return SQLITE_IOERR_READ;
	if (from < b->len)
		n = b->len - from < (size_t)len ? b->len - from : (size_t)len;
	if (n != 0)
		memcpy(out, b->bytes + from, n);
	memset((char *)out + n, 0, (size_t)len - n);
	return n == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static void write_now(struct crash_file *f, const void *data, size_t len, size_t at)
{
	struct crash_event *ev = crash_add_event(f->disk, CRASH_EV_WRITE, f->node);
	ev->at = at;
	ev->len = len;
	ev->data = xalloc(len);
	memcpy(ev->data, data, len);
	crash_bytes_write(bytes_of(f), at, data, len);
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	struct crash_file *f = (struct crash_file *)file;
	if (fails(f->disk, CRASH_WRITE)) {
		if (len > 1)
			write_now(f, data, (size_t)len / 2, (size_t)at); /* some of it was taken */
		return f->disk->fault.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	}
	write_now(f, data, (size_t)len, (size_t)at);
	return SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct crash_file *f = (struct crash_file *)file;
	if (fails(f->disk, CRASH_TRUNCATE))
		return SQLITE_IOERR_TRUNCATE;
	crash_add_event(f->disk, CRASH_EV_TRUNCATE, f->node)->at = (size_t)size;
	crash_bytes_resize(bytes_of(f), (size_t)size);
	return SQLITE_OK;
}

static int file_sync(sqlite3_file *file, int flags)
{
	struct crash_file *f = (struct crash_file *)file;
	(void)flags;
	if (fails(f->disk, CRASH_SYNC)) {
		crash_add_event(f->disk, CRASH_EV_LOST, f->node);
		return SQLITE_IOERR_FSYNC;
	}
	crash_add_event(f->disk, CRASH_EV_SYNC, f->node);
	if (f->flush_name) {
		crash_add_event(f->disk, CRASH_EV_NAMES, 0);
		f->flush_name = false;
	}
	return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = (sqlite3_int64)bytes_of((struct crash_file *)file)->len;
	return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int lock)
{
	(void)file;
	(void)lock;
	return SQLITE_OK;
}

static int file_reserved(sqlite3_file *file, int *held)
{
	(void)file;
	*held = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

static int file_characteristics(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
};

/* -- the file system */
static int fs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	struct crash_file *f = (struct crash_file *)file;
	struct crash_disk *d = vfs->pAppData;
	int i = name != NULL ? crash_find_name(&d->names, name) : -1;

	*f = (struct crash_file){ .disk = d };
	if (fails(d, CRASH_OPEN) || (i < 0 && (flags & SQLITE_OPEN_CREATE) == 0))
		return SQLITE_CANTOPEN;
	if (i >= 0) {
		f->node = d->names.node[i];
	} else {
		f->node = crash_add_node(d);
		if (name != NULL) {
			crash_set_name(&d->names, name, f->node);
			struct crash_event *ev = crash_add_event(d, CRASH_EV_CREATE, f->node);
			snprintf(ev->name, sizeof(ev->name), "%s", name);
		}
		f->flush_name = (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) != 0;
	}
	if (name != NULL && (flags & SQLITE_OPEN_DELETEONCLOSE) != 0)
		snprintf(f->goes, sizeof(f->goes), "%s", name);
	if (out_flags != NULL)
		*out_flags = flags;
	f->base.pMethods = &methods;
	return SQLITE_OK;
}

static int fs_delete(sqlite3_vfs *vfs, const char *name, int flush)
{
	struct crash_disk *d = vfs->pAppData;
	if (fails(d, CRASH_DELETE))
		return SQLITE_IOERR_DELETE;
	return delete_name(d, name, flush != 0);
}

static int fs_access(sqlite3_vfs *vfs, const char *name, int flags, int *there)
{
	struct crash_disk *d = vfs->pAppData;
	int i = crash_find_name(&d->names, name);
	/* as SQLite's own: an empty file does not exist for it */
	*there = i >= 0 && (flags != SQLITE_ACCESS_EXISTS || d->nodes[d->names.node[i]].now.len != 0);
	return SQLITE_OK;
}

static int fs_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int fs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	struct crash_disk *d = vfs->pAppData;
	for (int i = 0; i < len; i++)
		out[i] = (char)(crash_random(&d->dice, 256));
	return len;
}

static int fs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int fs_time(sqlite3_vfs *vfs, double *julian)
{
	(void)vfs;
	*julian = 2460000.5;
	return SQLITE_OK;
}

static int fs_last_error(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	if (len > 0)
		out[0] = '\0';
	return 0;
}

void crash_disk_mount(struct crash_disk *d)
{
	sqlite3_vfs *old = sqlite3_vfs_find("crash");
	if (old != NULL)
		sqlite3_vfs_unregister(old);
	if (d == NULL)
		return;
	*d->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct crash_file),
		.mxPathname = CRASH_NAME_MAX - 1,
		.zName = "crash",
		.pAppData = d,
		.xOpen = fs_open,
		.xDelete = fs_delete,
		.xAccess = fs_access,
		.xFullPathname = fs_full_name,
		.xRandomness = fs_randomness,
		.xSleep = fs_sleep,
		.xCurrentTime = fs_time,
		.xGetLastError = fs_last_error,
	};
	if (sqlite3_vfs_register(d->vfs, 1) != SQLITE_OK)
		abort();
}
