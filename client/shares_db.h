/* client/shares_db.h - the file behind client/shares.h: rows of shares.db. One thread at a time. Blocking. */
#ifndef SHOAL_CLIENT_SHARES_DB_H
#define SHOAL_CLIENT_SHARES_DB_H
#include "client/shares.h"

struct shares_db;

/* SHOAL_EINTEGRITY if the file is damaged or of another version. */
enum shoal_err shares_db_open(const char *path, struct shares_db **out, struct error *e);
void shares_db_close(struct shares_db *db); /* NULL is fine */
/* The strings of the row are borrowed for the call. `each` returning false ends it with SHOAL_EBUSY. */
enum shoal_err shares_db_each(struct shares_db *db, bool (*each)(void *arg, const struct share *row), void *arg,
                              struct error *e);
enum shoal_err shares_db_put(struct shares_db *db, const struct share *row, struct error *e);
enum shoal_err shares_db_remove(struct shares_db *db, const struct id16 *gid, const struct id16 *fid, struct error *e);
#endif
