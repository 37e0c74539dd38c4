/* client/value.h - a value of the command language: what commands take and give, before it is Lua, JSON or text.
 *
 * Plain values, owned by whoever holds them: value_free(), which wipes text (there may be a password in it). Building
 * fails stickily like struct buf: a value that could not be built is `failed`, and so is everything it is put into;
 * look once at the end. Any thread, one at a time. */
#ifndef SHOAL_CLIENT_VALUE_H
#define SHOAL_CLIENT_VALUE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "client/job.h"
#include "core/base/buf.h"
#include "core/wire/stamp.h"

enum value_type {
	VALUE_NIL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_NUMBER,
	VALUE_STR,
	VALUE_LIST,
	VALUE_TABLE, /* with names as keys, in the order in which they were set */
	VALUE_STAMP,
	VALUE_JOB, /* its number */
};

#define VALUE_DEPTH_MAX 16      /* of what comes in from Lua or JSON */
#define VALUE_ITEMS_MAX 1000000 /* of one list or table that comes in */

struct value {
	enum value_type type;
	bool failed;
	union {
		bool boolean;
		int64_t integer;
		double number;
		struct {
			char *data; /* len bytes and a NUL */
			size_t len;
		} str;
		struct {
			struct value *items;
			char **keys; /* NULL in a list */
			size_t n, cap;
		} table;
		struct {
			struct stamp stamp;
			int synced; /* other trackers that had it when it was told; -1: nobody was waited for */
		};
		uint64_t job;
	};
};

struct value value_bool(bool b);
struct value value_int(int64_t i);
struct value value_number(double d);
struct value value_str(const char *s); /* copied; NULL gives nil */
struct value value_strn(const void *data, size_t len);
struct value value_slice(struct slice s);
struct value value_hex(const void *data, size_t len);
struct value value_list(void);
struct value value_table(void);
struct value value_stamp(const struct stamp *s);
struct value value_job(uint64_t id);
/* Both take the item over, also when they fail. */
void value_add(struct value *list, struct value item);
void value_set(struct value *table, const char *key, struct value item); /* an earlier one of that name is replaced */
void value_free(struct value *v); /* nil afterwards */
struct value value_copy(const struct value *v);
struct value value_take(struct value *v); /* moves: *v is nil afterwards */

const struct value *value_get(const struct value *table, const char *key); /* NULL: no table, or not in it */
/* The text of a string, `otherwise` for anything else. Lives as long as the value. */
const char *value_text(const struct value *v, const char *otherwise);
int64_t value_get_int(const struct value *table, const char *key, int64_t otherwise);
const char *value_get_text(const struct value *table, const char *key, const char *otherwise);
bool value_get_bool(const struct value *table, const char *key, bool otherwise);
/* "a string", "a table", "nil": as error messages name it. */
const char *value_type_word(enum value_type type);

/* What a job is to a script: id, kind, group, file, ... error = {code, message} or absent. */
struct value value_job_info(const struct job_info *job);

/* JSON: a stamp is {"$stamp": text}, a job {"$job": number}. New reference; NULL when there is no memory. Text that is
 * not UTF-8 is written with \xNN. */
json_t *value_to_json(const struct value *v);
struct value value_from_json(const json_t *j);
#endif
