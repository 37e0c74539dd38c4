/* core/base/units.c */
#include "core/base/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool scaled(const char *text, double *value, const char **unit)
{
	if (!isdigit((unsigned char)text[0]))
		return false;
	char *end;
	*value = strtod(text, &end);
	if (!isfinite(*value) || memchr(text, 'x', (size_t)(end - text)) != NULL)
		return false;
	while (*end == ' ')
		end++;
	*unit = end;
	return true;
}

bool units_parse_bytes(const char *text, uint64_t *out)
{
	double value;
	const char *unit;
	if (!scaled(text, &value, &unit))
		return false;
	static const char letters[] = "KMGTP";
	if (unit[0] != '\0' && strcasecmp(unit, "B") != 0) {
		const char *letter = strchr(letters, toupper((unsigned char)unit[0]));
		if (letter == NULL || (unit[1] != '\0' && strcasecmp(unit + 1, "iB") != 0 && strcasecmp(unit + 1, "B") != 0))
			return false;
		value = ldexp(value, 10 * (int)(letter - letters + 1));
	}
	if (value >= 9.2e18)
		return false;
	*out = (uint64_t)value;
	return true;
}

bool units_parse_ms(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		double ms;
	} table[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 } };
	double value;
	const char *unit;
	if (!scaled(text, &value, &unit))
		return false;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(unit, table[i].unit) == 0 && value * table[i].ms < 9e15) {
			*out = (uint64_t)(value * table[i].ms);
			return true;
		}
	return false;
}

char *units_bytes(uint64_t n, char out[UNITS_TEXT])
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)n;
	unsigned i = 0;
	while (value >= 1023.95 && i + 1 < sizeof(names) / sizeof(names[0])) {
		value /= 1024;
		i++;
	}
	snprintf(out, UNITS_TEXT, i == 0 ? "%.0f %s" : "%.1f %s", value, names[i]);
	return out;
}

char *units_time(uint64_t s, char out[UNITS_TEXT])
{
	if (s >= 86400)
		snprintf(out, UNITS_TEXT, ">1d");
	else if (s >= 3600)
		snprintf(out, UNITS_TEXT, "%uh%02u", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
	else
		snprintf(out, UNITS_TEXT, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
	return out;
}
