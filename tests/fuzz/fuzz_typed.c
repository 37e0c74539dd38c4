/* tests/fuzz/fuzz_typed.c - a line at the prompt: what was understood, quoted and spelt otherwise, is understood as the
 * same; and a line that holds a secret is not kept. */
#include "client/prompt.h"
#include "client/typed.h"
#include "tests/fuzz/fuzz.h"

static void quote(struct buf *b, const char *word)
{
	buf_put_u8(b, '"');
	for (; *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			buf_put_u8(b, '\\');
		buf_put_u8(b, (uint8_t)*word);
	}
	buf_put_u8(b, '"');
}

static void put_option(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, " \t%s=", key);
	quote(b, text);
}

/* The same line, each word in quotes, the verb in the spelling with blanks if it has one. */
static char *spell_again(const struct typed *t)
{
	struct buf b = { 0 };
	const char *verb = t->cmd->spaced != NULL ? t->cmd->spaced : t->cmd->name;

	for (; *verb != '\0'; verb++)
		buf_printf(&b, "%s", *verb == ' ' ? " \t " : (char[2]){ *verb, '\0' });
	for (unsigned i = 0; i < t->n; i++) {
		const struct value *v = &t->argv[i];
		if (v->type == VALUE_STR) {
			buf_put_u8(&b, ' ');
			quote(&b, value_text(v, NULL));
		}
		for (size_t k = 0; v->type == VALUE_TABLE && k < v->table.n; k++)
			put_option(&b, v->table.keys[k], value_text(&v->table.items[k], NULL));
	}
	return buf_steal_str(&b);
}

static void check_same(const struct value *a, const struct value *b)
{
	CHECK_INT(a->type, ==, b->type);
	if (a->type == VALUE_STR)
		CHECK(a->str.len == b->str.len && memcmp(a->str.data, b->str.data, a->str.len) == 0);
	if (a->type != VALUE_TABLE)
		return;
	CHECK_INT(a->table.n, ==, b->table.n);
	for (size_t i = 0; i < a->table.n; i++) {
		CHECK(strcmp(a->table.keys[i], b->table.keys[i]) == 0);
		check_same(&a->table.items[i], &b->table.items[i]);
	}
}

static void check_twin(const struct typed *t)
{
	struct typed twin;
	struct error e;
	char *line = spell_again(t);

	CHECK_INT(typed_parse(line, &twin, &e), ==, SHOAL_OK);
	CHECK(twin.cmd == t->cmd && twin.n == t->n);
	for (unsigned i = 0; i < t->n; i++)
		check_same(&t->argv[i], &twin.argv[i]);
	typed_free(&twin);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct typed t;
	struct error e = { 0 };
	char *line = fuzz_text(slice_of(data, size));
	enum shoal_err rc = typed_parse(line, &t, &e);

	if (rc == SHOAL_OK) {
		CHECK(t.n <= CMD_MAX_ARGS);
		check_twin(&t);
		CHECK((t.cmd->flags & CMD_SECRET) == 0 || !history_may_keep(line));
		typed_free(&t);
	} else {
		CHECK(rc == SHOAL_EUSAGE && e.message[0] != '\0');
		(void)history_may_keep(line);
	}
	free(line);
	return 0;
}
