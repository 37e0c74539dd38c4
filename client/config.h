/* client/config.h - the settings: config.lua, and shoal.config() of scripts. */
#ifndef SHOAL_CLIENT_CONFIG_H
#define SHOAL_CLIENT_CONFIG_H
#include "client/cmd.h"

/* What may be set; up to one without a name. */
extern const struct cmd_opt config_keys[];

/* Reads the file, which returns a table, into *out (caller: value_free()). Without a file the table is empty, unless
 * `must`. A mistake is SHOAL_EUSAGE with the file's name. It runs in a Lua of its own, with nothing but strings,
 * tables, mathematics and os.getenv. */
enum shoal_err config_load(const char *path, bool must, struct value *out, struct error *e);
#endif
