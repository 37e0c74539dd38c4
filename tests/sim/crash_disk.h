/* tests/sim/crash_disk.h - inside the crash VFS: what crash_vfs.c and crash_cut.c share. */
#ifndef SHOAL_TESTS_CRASH_DISK_H
#define SHOAL_TESTS_CRASH_DISK_H
#include <sqlite3.h>

#include "tests/sim/crash_vfs.h"

enum { CRASH_NAMES = 8, CRASH_NAME_MAX = 64 };

struct crash_bytes {
	uint8_t *bytes;
	size_t len, cap;
};

/* A file, under whatever name, or none any more. */
struct crash_node {
	struct crash_bytes now;   /* what is read */
	struct crash_bytes first; /* what was on the disk before the first event */
};

struct crash_names {
	bool used[CRASH_NAMES];
	char name[CRASH_NAMES][CRASH_NAME_MAX];
	unsigned node[CRASH_NAMES];
};

enum crash_event_kind {
	CRASH_EV_WRITE,    /* at, len, data */
	CRASH_EV_TRUNCATE, /* at: the new length */
	CRASH_EV_SYNC,     /* what was written to that file is safe */
	CRASH_EV_LOST,     /* a flush failed: what was not safe before will not be */
	CRASH_EV_CREATE,   /* name */
	CRASH_EV_DELETE,   /* name */
	CRASH_EV_NAMES,    /* the names are safe */
};

struct crash_event {
	enum crash_event_kind kind;
	unsigned node;
	size_t at, len;
	uint8_t *data;
	char name[CRASH_NAME_MAX];
};

struct crash_disk {
	struct crash_node *nodes;
	size_t n_nodes, cap_nodes;
	struct crash_names names, first_names;
	struct crash_event *events;
	size_t n_events, cap_events;
	struct crash_fault fault;
	unsigned calls, failed; /* of the kind that is to fail */
	uint64_t dice;
	sqlite3_vfs *vfs;
};

unsigned crash_add_node(struct crash_disk *d);
struct crash_event *crash_add_event(struct crash_disk *d, enum crash_event_kind kind, unsigned node);
void crash_bytes_resize(struct crash_bytes *b, size_t len);
void crash_bytes_write(struct crash_bytes *b, size_t at, const void *data, size_t len);
int crash_find_name(const struct crash_names *names, const char *name); /* -1: not there */
void crash_set_name(struct crash_names *names, const char *name, unsigned node);
uint32_t crash_random(uint64_t *dice, uint32_t below);
#endif
