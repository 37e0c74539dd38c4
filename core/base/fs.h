/* core/base/fs.h - files and folders of the program's own: keys, settings, state. Any thread. Blocking. */
#ifndef SHOAL_BASE_FS_H
#define SHOAL_BASE_FS_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/buf.h"
#include "core/base/error.h"

/* The whole file into *out (appended); more than max bytes is SHOAL_EUSAGE. */
enum shoal_err fs_read_file(const char *path, size_t max, struct buf *out, struct error *e);
/* Temporary file beside it, fsync, rename, fsync of the folder: the old or the new content, never half of it. */
enum shoal_err fs_write_file(const char *path, const void *data, size_t len, mode_t mode, struct error *e);
/* Makes the file only if nobody else has: temporary file and link(2). SHOAL_EEXISTS if it is there already. */
enum shoal_err fs_create_file(const char *path, const void *data, size_t len, mode_t mode, struct error *e);
/* fsync of the folder that holds path: names made, moved or removed there are on the disk. */
enum shoal_err fs_sync_folder(const char *path, struct error *e);
/* A secret: refused (SHOAL_EDENIED) when group or others can read it. Exactly len bytes, or SHOAL_EUSAGE. */
enum shoal_err fs_read_secret(const char *path, void *out, size_t len, struct error *e);
/* mkdir -p with this mode for what is new. */
enum shoal_err fs_mkdirs(const char *path, mode_t mode, struct error *e);
/* The folder that holds path ("." if none), malloc'ed. */
char *fs_dirname(const char *path);
const char *fs_basename(const char *path); /* points into path */
/* All of len bytes, EINTR and short writes taken care of. False with errno set. */
bool fs_write_all(int fd, const void *data, size_t len);

enum xdg { XDG_CONFIG, XDG_DATA, XDG_STATE, XDG_CACHE, XDG_RUNTIME };
/* "$XDG_..._HOME/shoal" with the fallbacks of the XDG specification (runtime: $XDG_RUNTIME_DIR, else state/run);
 * `root` not NULL replaces them all: "root/config", "root/data", ... malloc'ed; NULL if neither HOME nor the variable
 * is set. Nothing is created. */
char *fs_xdg(enum xdg which, const char *root);
/* printf into a fresh string; aborts when there is no memory: for paths made at start. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#endif
