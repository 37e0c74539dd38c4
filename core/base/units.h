/* core/base/units.h - sizes and times as people write and read them. Plain values, any thread. */
#ifndef SHOAL_BASE_UNITS_H
#define SHOAL_BASE_UNITS_H
#include <stdbool.h>
#include <stdint.h>

#define UNITS_TEXT 32

/* "20M", "1.5G", "512", "64KiB": powers of 1024. False if it is none, negative or over 2^63. */
bool units_parse_bytes(const char *text, uint64_t *out);
/* "5", "1.5s", "200ms", "2m", "1h" in milliseconds. */
bool units_parse_ms(const char *text, uint64_t *out);
/* "412.3 MiB", "17 B". Returns out. */
char *units_bytes(uint64_t n, char out[UNITS_TEXT]);
/* "0:03", "2:10", "1h05", ">1d". */
char *units_time(uint64_t seconds, char out[UNITS_TEXT]);
#endif
