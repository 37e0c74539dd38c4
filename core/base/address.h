/* core/base/address.h - "HOST:PORT", and the file that lists the trackers. Plain values, any thread. */
#ifndef SHOAL_BASE_ADDRESS_H
#define SHOAL_BASE_ADDRESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/id.h"

#define HOST_MAX 254
#define ADDRESS_MAX 264 /* "[host]:65535" and a NUL */

struct address {
	char host[HOST_MAX]; /* without brackets */
	uint16_t port;
};

/* "127.0.0.1:5000", "[::1]:5000", "host.name:5000". The port may be 0 only if allow_zero. SHOAL_EUSAGE with a sentence. */
enum shoal_err address_parse(const char *text, bool allow_zero, struct address *out, struct error *e);
/* The text form, brackets around an IPv6 address. Returns out. */
char *address_format(const struct address *a, char out[ADDRESS_MAX]);
/* Whether the text has the shape HOST:PORT (used to tell an address from a script's name). */
bool address_looks_like(const char *text);

/* tracker_info.txt: lines "HOST:PORT  ID", '#' begins a comment, and at most one line "cluster sha256:HEX". */
struct tracker_line {
	struct address addr;
	uint16_t id; /* 1 to 65535, in any order, each once; an address once, too */
};

struct tracker_info {
	struct tracker_line *trackers; /* in the file's order */
	size_t n;
	bool pinned;
	struct id32 cluster; /* valid if pinned */
};

/* Caller: tracker_info_free(). A mistake is SHOAL_EUSAGE with file and line in the sentence. */
enum shoal_err tracker_info_read(const char *path, struct tracker_info *out, struct error *e);
enum shoal_err tracker_info_parse(const char *name, const char *text, struct tracker_info *out, struct error *e);
void tracker_info_free(struct tracker_info *ti);
const struct tracker_line *tracker_info_find(const struct tracker_info *ti, uint16_t id); /* NULL if absent */
/* "sha256:<64 hex digits>" */
bool identity_parse(const char *text, struct id32 *out);
#endif
