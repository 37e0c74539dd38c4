/* client/value.c */
#include "client/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/base/mem.h"
#include "core/base/name.h"

struct value value_bool(bool b)
{
	return (struct value){ .type = VALUE_BOOL, .boolean = b };
}

struct value value_int(int64_t i)
{
	return (struct value){ .type = VALUE_INT, .integer = i };
}

struct value value_number(double d)
{
	return (struct value){ .type = VALUE_NUMBER, .number = d };
}

struct value value_strn(const void *data, size_t len)
{
	struct value v = { .type = VALUE_STR };
	v.str.data = try_alloc(len + 1);
	v.failed = v.str.data == NULL;
	v.str.len = v.failed ? 0 : len;
	if (!v.failed && len != 0)
		memcpy(v.str.data, data, len);
	return v;
}

struct value value_str(const char *s)
{
	return s != NULL ? value_strn(s, strlen(s)) : (struct value){ 0 };
}

struct value value_slice(struct slice s)
{
	return value_strn(s.data, s.len);
}

struct value value_hex(const void *data, size_t len)
{
	struct value v = { .type = VALUE_STR };
	v.str.data = try_alloc(2 * len + 1);
	v.failed = v.str.data == NULL;
	if (!v.failed) {
		hex_encode(data, len, v.str.data);
		v.str.len = 2 * len;
	}
	return v;
}

struct value value_list(void)
{
	return (struct value){ .type = VALUE_LIST };
}

struct value value_table(void)
{
	return (struct value){ .type = VALUE_TABLE };
}

struct value value_stamp(const struct stamp *s)
{
	return (struct value){ .type = VALUE_STAMP, .stamp = *s, .synced = -1 };
}

struct value value_job(uint64_t id)
{
	return (struct value){ .type = VALUE_JOB, .job = id };
}

static bool grow(struct value *v, bool keyed)
{
	if (v->table.n < v->table.cap)
		return true;
	size_t cap = v->table.cap != 0 ? 2 * v->table.cap : 8;
	struct value *items = try_realloc(v->table.items, cap * sizeof(*items));
	if (items == NULL)
		return false;
	v->table.items = items;
	if (keyed) {
		char **keys = try_realloc(v->table.keys, cap * sizeof(*keys));
		if (keys == NULL)
			return false;
		v->table.keys = keys;
	}
	v->table.cap = cap;
	return true;
}

void value_add(struct value *list, struct value item)
{
	if (item.failed || list->failed || !grow(list, false)) {
		list->failed = true;
		value_free(&item);
		return;
	}
	list->table.items[list->table.n++] = item;
}

void value_set(struct value *table, const char *key, struct value item)
{
	for (size_t i = 0; i < table->table.n; i++)
		if (strcmp(table->table.keys[i], key) == 0) {
			value_free(&table->table.items[i]);
			table->table.items[i] = item;
			table->failed |= item.failed;
			return;
		}
	char *copy = item.failed || table->failed || !grow(table, true) ? NULL : try_strdup(key);
	if (copy == NULL) {
		table->failed = true;
		value_free(&item);
		return;
	}
	table->table.keys[table->table.n] = copy;
	table->table.items[table->table.n++] = item;
}

void value_free(struct value *v)
{
	if (v->type == VALUE_STR && v->str.data != NULL) {
		OPENSSL_cleanse(v->str.data, v->str.len);
		free(v->str.data);
	} else if (v->type == VALUE_LIST || v->type == VALUE_TABLE) {
		for (size_t i = 0; i < v->table.n; i++) {
			value_free(&v->table.items[i]);
			if (v->table.keys != NULL)
				free(v->table.keys[i]);
		}
		free(v->table.items);
		free(v->table.keys);
	}
	*v = (struct value){ 0 };
}

struct value value_copy(const struct value *v)
{
	if (v->type == VALUE_STR)
		return value_strn(v->str.data, v->str.len);
	if (v->type != VALUE_LIST && v->type != VALUE_TABLE)
		return *v;
	struct value out = { .type = v->type, .failed = v->failed };
	for (size_t i = 0; i < v->table.n; i++)
		if (v->type == VALUE_LIST)
			value_add(&out, value_copy(&v->table.items[i]));
		else
			value_set(&out, v->table.keys[i], value_copy(&v->table.items[i]));
	return out;
}

struct value value_take(struct value *v)
{
	struct value out = *v;
	*v = (struct value){ 0 };
	return out;
}

const struct value *value_get(const struct value *table, const char *key)
{
	if (table == NULL || table->type != VALUE_TABLE)
		return NULL;
	for (size_t i = 0; i < table->table.n; i++)
		if (strcmp(table->table.keys[i], key) == 0)
			return &table->table.items[i];
	return NULL;
}

const char *value_text(const struct value *v, const char *otherwise)
{
	return v != NULL && v->type == VALUE_STR && v->str.data != NULL ? v->str.data : otherwise;
}

int64_t value_get_int(const struct value *table, const char *key, int64_t otherwise)
{
	const struct value *v = value_get(table, key);
	return v != NULL && v->type == VALUE_INT ? v->integer : otherwise;
}

const char *value_get_text(const struct value *table, const char *key, const char *otherwise)
{
	return value_text(value_get(table, key), otherwise);
}

bool value_get_bool(const struct value *table, const char *key, bool otherwise)
{
	const struct value *v = value_get(table, key);
	return v != NULL && v->type == VALUE_BOOL ? v->boolean : otherwise;
}

const char *value_type_word(enum value_type type)
{
	static const char *const words[] = {
		[VALUE_NIL] = "nil",       [VALUE_BOOL] = "a boolean", [VALUE_INT] = "a number", [VALUE_NUMBER] = "a number",
		[VALUE_STR] = "a string",  [VALUE_LIST] = "a list",    [VALUE_TABLE] = "a table", [VALUE_STAMP] = "a stamp",
		[VALUE_JOB] = "a job",
	};
	return words[type];
}

struct value value_job_info(const struct job_info *job)
{
	struct value t = value_table();
	value_set(&t, "id", value_int((int64_t)job->id));
	value_set(&t, "kind", value_str(job->kind == JOB_UPLOAD ? "upload" : "download"));
	value_set(&t, "state", value_str(job_state_word(job->state)));
	value_set(&t, "group", value_str(job->group));
	value_set(&t, "file", value_str(job->file));
	value_set(&t, "path", value_str(job->path));
	value_set(&t, "bytes", value_int((int64_t)job->bytes));
	value_set(&t, "total", value_int((int64_t)job->total));
	value_set(&t, "rate", value_int((int64_t)job->rate));
	if (job->eta >= 0)
		value_set(&t, "eta", value_int(job->eta));
	value_set(&t, "pieces", value_int(job->pieces));
	value_set(&t, "pieces_total", value_int(job->pieces_total));
	value_set(&t, "bad_pieces", value_int(job->bad_pieces));
	value_set(&t, "sources", value_int(job->sources));
	value_set(&t, "connected", value_int(job->peers));
	value_set(&t, "resumed", value_int((int64_t)job->resumed));
	value_set(&t, "twice", value_int((int64_t)job->twice));
	value_set(&t, "started", value_int((int64_t)(job->started_ms / 1000)));
	value_set(&t, "took", value_number((double)job->took_ms / 1000));
	if (job->error.code != SHOAL_OK) {
		struct value e = value_table();
		value_set(&e, "code", value_str(error_word(job->error.code)));
		value_set(&e, "message", value_str(job->error.message));
		value_set(&t, "error", e);
	}
	return t;
}

static json_t *text_to_json(const struct value *v)
{
	if (utf8_valid(v->str.data, v->str.len))
		return json_stringn(v->str.data, v->str.len);
	size_t size = 4 * v->str.len + 1;
	char *shown = try_alloc(size);
	if (shown == NULL)
		return NULL;
	json_t *j = json_string(text_escape(v->str.data, v->str.len, shown, size));
	free(shown);
	return j;
}

static json_t *items_to_json(const struct value *v)
{
	json_t *j = v->type == VALUE_LIST ? json_array() : json_object();
	for (size_t i = 0; j != NULL && i < v->table.n; i++) {
		json_t *item = value_to_json(&v->table.items[i]);
		int rc = v->type == VALUE_LIST ? json_array_append_new(j, item) : json_object_set_new(j, v->table.keys[i], item);
		if (rc != 0) {
			json_decref(j);
			j = NULL;
		}
	}
	return j;
}

json_t *value_to_json(const struct value *v)
{
	char text[STAMP_TEXT_SIZE];
	switch (v->type) {
	case VALUE_NIL: return json_null();
	case VALUE_BOOL: return json_boolean(v->boolean);
	case VALUE_INT: return json_integer(v->integer);
	case VALUE_NUMBER: return isfinite(v->number) ? json_real(v->number) : json_null();
	case VALUE_STR: return text_to_json(v);
	case VALUE_STAMP:
		return v->synced < 0 ? json_pack("{ss}", "$stamp", stamp_format(&v->stamp, text))
		                     : json_pack("{sssi}", "$stamp", stamp_format(&v->stamp, text), "synced", v->synced);
	case VALUE_JOB: return json_pack("{sI}", "$job", (json_int_t)v->job);
	case VALUE_LIST:
	case VALUE_TABLE: break;
	}
	return items_to_json(v);
}

/* {"$stamp": ...} and {"$job": ...}; nil if it is neither. */
static struct value marked_from_json(const json_t *j)
{
	const json_t *stamp = json_object_get(j, "$stamp"), *job = json_object_get(j, "$job");
	struct stamp s;
	if (json_is_string(stamp) && stamp_parse(json_string_value(stamp), &s)) {
		const json_t *synced = json_object_get(j, "synced");
		struct value v = value_stamp(&s);
		if (json_is_integer(synced) && json_integer_value(synced) >= 0 && json_integer_value(synced) <= UINT16_MAX)
			v.synced = (int)json_integer_value(synced);
		return v;
	}
	if (json_is_integer(job))
		return value_job((uint64_t)json_integer_value(job));
	return (struct value){ 0 };
}

static struct value from_json(const json_t *j, unsigned depth)
{
	struct value out = { 0 };
	if (depth > VALUE_DEPTH_MAX)
		return out;
	switch (json_typeof(j)) {
	case JSON_NULL: return out;
	case JSON_TRUE: return value_bool(true);
	case JSON_FALSE: return value_bool(false);
	case JSON_INTEGER: return value_int(json_integer_value(j));
	case JSON_REAL: return value_number(json_real_value(j));
	case JSON_STRING: return value_strn(json_string_value(j), json_string_length(j));
	case JSON_ARRAY:
		out = value_list();
		for (size_t i = 0; i < json_array_size(j); i++)
			value_add(&out, from_json(json_array_get(j, i), depth + 1));
		return out;
	case JSON_OBJECT: break;
	}
	out = marked_from_json(j);
	if (out.type != VALUE_NIL)
		return out;
	out = value_table();
	const char *key;
	json_t *item;
	json_object_foreach((json_t *)j, key, item)
		value_set(&out, key, from_json(item, depth + 1));
	return out;
}

struct value value_from_json(const json_t *j)
{
	return from_json(j, 0);
}
