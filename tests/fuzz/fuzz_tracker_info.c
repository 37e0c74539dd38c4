/* tests/fuzz/fuzz_tracker_info.c - the tracker file, addresses, sizes, names and stamps: text that people write. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/address.h"
#include "core/base/name.h"
#include "core/base/units.h"
#include "core/wire/stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address is shown in a form that is read as the same one. */
static void check_shown(const struct address *a)
{
	char text[ADDRESS_MAX];
	struct address again;
	if (address_parse(address_format(a, text), true, &again, NULL) != SHOAL_OK ||
	    strcmp(a->host, again.host) != 0 || a->port != again.port)
		abort();
}

/* What we take for UTF-8 the JSON library takes too: else an answer of the control socket would come to nothing. */
static void check_utf8(const uint8_t *data, size_t size)
{
	json_t *j = json_stringn((const char *)data, size);
	if (utf8_valid(data, size) != (j != NULL))
		abort();
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), shown[64], plain[NAME_SHOWN_MAX], tail[7];
	struct tracker_info ti;
	struct address a;
	struct stamp s;
	uint64_t v;
	memcpy(text, data, size);
	text[size] = '\0';
	if (tracker_info_parse("fuzz", text, &ti, NULL) == SHOAL_OK)
		tracker_info_free(&ti);
	if (address_parse(text, true, &a, NULL) == SHOAL_OK)
		check_shown(&a);
	units_parse_bytes(text, &v);
	units_parse_ms(text, &v);
	stamp_parse(text, &s);
	check_utf8(data, size);
	text_escape(data, size, shown, sizeof(shown));
	for (int kind = NAME_USER; kind <= NAME_FILE; kind++) {
		name_check((enum name_kind)kind, data, size, NULL);
		name_split_alias((enum name_kind)kind, text, plain, tail);
	}
	free(text);
	return 0;
}
