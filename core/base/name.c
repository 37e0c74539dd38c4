/* core/base/name.c */
#include "core/base/name.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/id.h"

enum { TAIL = 6 };

static const char *const kind_words[] = { [NAME_USER] = "user name", [NAME_GROUP] = "group name",
	                                  [NAME_FILE] = "file name" };

/* The length of the UTF-8 sequence at p, 0 if it is broken (overlong, surrogate, cut off). */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
	if (n <= 1 || n > left)
		return n <= left ? n : 0;
	uint32_t c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

bool utf8_valid(const void *text, size_t len)
{
	const uint8_t *p = text;
	while (len != 0) {
		size_t n = utf8_len(p, len);
		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* Control bytes: C0, DEL, and C1 (which UTF-8 writes as c2 80 .. c2 9f). */
static bool is_control(const uint8_t *p, size_t n)
{
	return p[0] < 0x20 || p[0] == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* What nobody sees, and what turns the text around it: direction marks, embeddings and isolates; separators of lines and
 * paragraphs; spaces and joiners of no width. */
static bool is_invisible(const uint8_t *p, size_t n)
{
	uint32_t c;

	if (n == 2)
		return p[0] == 0xd8 && p[1] == 0x9c; /* U+061C */
	if (n != 3)
		return false;
	c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || c == 0x2060 ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* ZWNJ and ZWJ, U+200C and U+200D: some scripts and emoji cannot be written without them. */
static bool is_joiner(const uint8_t *p, size_t n)
{
	return n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0x8c || p[2] == 0x8d);
}

static bool has_invisible(const uint8_t *p, size_t len)
{
	for (size_t n; len != 0; p += n, len -= n) {
		n = utf8_len(p, len);
		if (n == 0 || (is_invisible(p, n) && !is_joiner(p, n)))
			return true;
	}
	return false;
}

static bool has_control(const uint8_t *p, size_t len)
{
	while (len != 0) {
		size_t n = utf8_len(p, len);
		if (n == 0 || is_control(p, n))
			return true;
		p += n;
		len -= n;
	}
	return false;
}

static bool is_tail(const char *p)
{
	if (p[0] != '~')
		return false;
	for (int i = 1; i <= TAIL; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '2' && p[i] <= '7')))
			return false;
	return true;
}

/* Where the extension of a file name begins (its end if it has none); other names have none. */
static size_t stem_len(enum name_kind kind, const char *name, size_t len)
{
	const char *dot = kind == NAME_FILE ? memrchr(name, '.', len) : NULL;
	return dot != NULL && dot != name ? (size_t)(dot - name) : len;
}

static bool looks_like_alias(enum name_kind kind, const char *name, size_t len)
{
	size_t stem = stem_len(kind, name, len);
	return (stem > TAIL + 1 && is_tail(name + stem - TAIL - 1)) || (len > TAIL + 1 && is_tail(name + len - TAIL - 1));
}

enum shoal_err name_check_lookup(enum name_kind kind, const void *name, size_t len, struct error *e)
{
	const char *what = kind_words[kind], *p = name;
	size_t max = kind == NAME_FILE ? NAME_FILE_MAX + TAIL + 1 : NAME_SHORT_MAX + TAIL + 1;

	if (len == 0)
		return error_set(e, SHOAL_EUSAGE, "the %s is empty", what);
	if (len > max)
		return error_set(e, SHOAL_EUSAGE, "the %s is too long: %zu bytes", what, len);
	if (!utf8_valid(name, len))
		return error_set(e, SHOAL_EUSAGE, "the %s is not valid UTF-8", what);
	if (has_control(name, len))
		return error_set(e, SHOAL_EUSAGE, "the %s holds a control character", what);
	if (has_invisible(name, len))
		return error_set(e, SHOAL_EUSAGE, "the %s holds an invisible character or one that changes the direction",
		                 what);
	if (p[0] == ' ' || p[len - 1] == ' ')
		return error_set(e, SHOAL_EUSAGE, "the %s begins or ends with a space", what);
	if (kind == NAME_FILE && memchr(name, '/', len) != NULL)
		return error_set(e, SHOAL_EUSAGE, "the file name holds a '/'");
	if (kind == NAME_FILE && ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')))
		return error_set(e, SHOAL_EUSAGE, "'.' and '..' are no file names");
	return SHOAL_OK;
}

enum shoal_err name_check(enum name_kind kind, const void *name, size_t len, struct error *e)
{
	size_t max = kind == NAME_FILE ? NAME_FILE_MAX : NAME_SHORT_MAX;
	enum shoal_err rc = name_check_lookup(kind, name, len, e);
	if (rc != SHOAL_OK)
		return rc;
	if (len > max)
		return error_set(e, SHOAL_EUSAGE, "the %s is too long: %zu bytes, at most %zu", kind_words[kind], len, max);
	if (looks_like_alias(kind, name, len))
		return error_set(e, SHOAL_EUSAGE, "the %s ends like an alias ('~' and six characters)", kind_words[kind]);
	return SHOAL_OK;
}

void name_alias(enum name_kind kind, const char *name, const void *id, char out[NAME_SHOWN_MAX])
{
	char tail[TAIL + 1];
	size_t len = strnlen(name, NAME_FILE_MAX), stem = stem_len(kind, name, len);

	id_alias_tail(id, tail);
	snprintf(out, NAME_SHOWN_MAX, "%.*s~%s%.*s", (int)stem, name, tail, (int)(len - stem), name + stem);
}

bool name_split_alias(enum name_kind kind, const char *shown, char plain[NAME_SHOWN_MAX], char tail[7])
{
	size_t len = strlen(shown);
	if (len >= NAME_SHOWN_MAX)
		return false;
	size_t ends[2] = { stem_len(kind, shown, len), len };
	for (int i = 0; i < 2; i++) {
		size_t end = ends[i];
		if (end <= TAIL + 1 || !is_tail(shown + end - TAIL - 1))
			continue;
		size_t cut = end - TAIL - 1;
		memcpy(tail, shown + cut + 1, TAIL);
		tail[TAIL] = '\0';
		memcpy(plain, shown, cut);
		memcpy(plain + cut, shown + end, len - end);
		plain[cut + len - end] = '\0';
		return true;
	}
	return false;
}

char *text_escape(const void *text, size_t len, char *out, size_t size)
{
	const uint8_t *p = text;
	size_t used = 0;
	out[0] = '\0';
	while (len != 0) {
		size_t n = utf8_len(p, len);
		bool plain = n != 0 && !is_control(p, n) && !is_invisible(p, n);
		size_t need = plain ? n : 4;
		if (used + need + 4 > size) {
			if (size >= 4)
				memcpy(out + (used + 4 <= size ? used : size - 4), "...", 4);
			return out;
		}
		if (plain)
			memcpy(out + used, p, n);
		else
			snprintf(out + used, 5, "\\x%02x", p[0]);
		used += need;
		out[used] = '\0';
		n = plain ? n : 1;
		p += n;
		len -= n;
	}
	return out;
}
