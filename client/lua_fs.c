/* client/lua_fs.c - the module shoal.fs: what shoal's own Lua modules need of the file system and plain Lua lacks.
 *
 * Paths below a root are walked one name at a time and no symbolic link is ever followed: a list of files that came from
 * somebody else cannot write outside the folder it was fetched into. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/lua_internal.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

enum { DEPTH_MAX = 64, TARGET_MAX = 4096, NAME_BYTES_MAX = 256 };
#define ENTRIES_MAX 1000000

static int give_errno(lua_State *L, const char *what, const char *path)
{
	struct error e;
	error_errno(&e, "cannot %s '%.300s'", what, path);
	return lua_fail(L, &e, NULL, "shoal.fs");
}

/* -- scan */

#define FTS_TYPE "shoal.fts"

static int fts_gc(lua_State *L)
{
	FTS **f = luaL_checkudata(L, 1, FTS_TYPE);
	if (*f != NULL)
		fts_close(*f);
	*f = NULL;
	return 0;
}

static void set_number(lua_State *L, const char *key, int64_t n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, key);
}

static void push_entry(lua_State *L, const FTSENT *ent, size_t skip)
{
	const struct stat *st = ent->fts_statp;
	char target[TARGET_MAX];
	ssize_t n = S_ISLNK(st->st_mode) ? readlink(ent->fts_accpath, target, sizeof(target)) : -1;
	lua_createtable(L, 0, 6);
	lua_pushstring(L, ent->fts_path + skip);
	lua_setfield(L, -2, "path");
	lua_pushstring(L, S_ISREG(st->st_mode) ? "file" : S_ISDIR(st->st_mode) ? "dir" : n >= 0 ? "link" : "other");
	lua_setfield(L, -2, "kind");
	set_number(L, "mode", st->st_mode & 0777);
	set_number(L, "size", st->st_size);
	set_number(L, "mtime_ns", (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
	if (n >= 0) {
		lua_pushlstring(L, target, (size_t)n);
		lua_setfield(L, -2, "target");
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* scan(folder): {{path, kind, mode, size, mtime_ns, target}, ...}, each folder before what is in it. */
static int l_scan(lua_State *L)
{
	const char *root = luaL_checkstring(L, 1);
	char *const roots[] = { (char *)(uintptr_t)root, NULL };
	struct stat st;
	if (stat(root, &st) != 0)
		return give_errno(L, "read the folder", root);
	FTS **f = lua_newuserdatauv(L, sizeof(FTS *), 0);
	*f = NULL;
	luaL_setmetatable(L, FTS_TYPE);
	*f = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
	lua_createtable(L, 0, 0);
	lua_Integer n = 0;
	FTSENT *ent;
	while (*f != NULL && (ent = fts_read(*f)) != NULL) {
		errno = ent->fts_errno;
		if (ent->fts_info == FTS_DNR || ent->fts_info == FTS_ERR || ent->fts_info == FTS_NS)
			return give_errno(L, "read", ent->fts_path);
		if (ent->fts_level == 0 || ent->fts_info == FTS_DP)
			continue;
		if (n == ENTRIES_MAX || ent->fts_level > DEPTH_MAX) {
			errno = n == ENTRIES_MAX ? EFBIG : ELOOP;
			return give_errno(L, "take in all of", root);
		}
		push_entry(L, ent, strlen(root) + (root[strlen(root) - 1] != '/'));
		lua_rawseti(L, -2, ++n);
	}
	return *f != NULL ? 1 : give_errno(L, "read the folder", root);
}

/* -- below a root */

/* The folder that holds the last name of `rel`, whose text is put into `name`; missing ones are made. -1: errno. */
static int open_parent(const char *root, const char *rel, char name[NAME_BYTES_MAX])
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned depth = 0; fd >= 0; depth++) {
		size_t len = strcspn(rel, "/");
		bool bad = len == 0 || len >= NAME_BYTES_MAX || (len == 1 && rel[0] == '.') ||
		           (len == 2 && rel[0] == '.' && rel[1] == '.') || depth > DEPTH_MAX;
		if (bad) {
			close(fd);
			errno = EINVAL;
			return -1;
		}
		memcpy(name, rel, len);
		name[len] = '\0';
		if (rel[len] == '\0')
			return fd;
		rel += len + 1;
		if (mkdirat(fd, name, 0777) != 0 && errno != EEXIST) {
			close(fd);
			return -1;
		}
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int number = errno;
		close(fd);
		errno = number;
		fd = next;
	}
	return fd;
}

/* parents(root, path): makes the folders above it. */
static int l_parents(lua_State *L)
{
	const char *root = luaL_checkstring(L, 1), *rel = luaL_checkstring(L, 2);
	char name[NAME_BYTES_MAX];
	int fd = open_parent(root, rel, name);
	if (fd < 0)
		return give_errno(L, "make the folder of", rel);
	close(fd);
	lua_pushboolean(L, 1);
	return 1;
}

/* folder(root, path): a folder there. */
static int l_folder(lua_State *L)
{
	const char *root = luaL_checkstring(L, 1), *rel = luaL_checkstring(L, 2);
	char name[NAME_BYTES_MAX];
	struct stat st;
	int fd = open_parent(root, rel, name);
	bool ok = fd >= 0 && (mkdirat(fd, name, 0777) == 0 ||
	                      (errno == EEXIST && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)));
	int number = errno;
	if (fd >= 0)
		close(fd);
	errno = number;
	if (!ok)
		return give_errno(L, "make the folder", rel);
	lua_pushboolean(L, 1);
	return 1;
}

/* chmod(root, path, mode): of a file or folder, never of what a link points to. */
static int l_chmod(lua_State *L)
{
	const char *root = luaL_checkstring(L, 1), *rel = luaL_checkstring(L, 2);
	mode_t mode = (mode_t)luaL_checkinteger(L, 3) & 0777;
	char name[NAME_BYTES_MAX];
	int folder = open_parent(root, rel, name);
	int fd = folder >= 0 ? openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	bool ok = fd >= 0 && fchmod(fd, mode) == 0;
	int number = errno;
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	errno = number;
	if (!ok)
		return give_errno(L, "set the mode of", rel);
	lua_pushboolean(L, 1);
	return 1;
}

/* link(root, path, target): a symbolic link; one with that target may be there already. */
static int l_link(lua_State *L)
{
	const char *root = luaL_checkstring(L, 1), *rel = luaL_checkstring(L, 2), *target = luaL_checkstring(L, 3);
	char name[NAME_BYTES_MAX], there[TARGET_MAX];
	int fd = open_parent(root, rel, name);
	bool ok = fd >= 0 && symlinkat(target, fd, name) == 0;
	int number = errno;
	if (fd >= 0 && !ok && number == EEXIST) {
		ssize_t n = readlinkat(fd, name, there, sizeof(there));
		ok = n >= 0 && (size_t)n == strlen(target) && memcmp(there, target, (size_t)n) == 0;
	}
	if (fd >= 0)
		close(fd);
	errno = number;
	if (!ok)
		return give_errno(L, "make the link", rel);
	lua_pushboolean(L, 1);
	return 1;
}

/* -- small things */

/* match(pattern, text): as a shell matches file names. */
static int l_match(lua_State *L)
{
	lua_pushboolean(L, fnmatch(luaL_checkstring(L, 1), luaL_checkstring(L, 2), 0) == 0);
	return 1;
}

/* mkdirs(path): with those above it. */
static int l_mkdirs(lua_State *L)
{
	struct error e;
	if (fs_mkdirs(luaL_checkstring(L, 1), 0777, &e) != SHOAL_OK)
		return lua_fail(L, &e, NULL, "shoal.fs");
	lua_pushboolean(L, 1);
	return 1;
}

/* absolute(path): from the root of the file system. */
static int l_absolute(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char *real = realpath(path, NULL);
	if (real == NULL)
		return give_errno(L, "find", path);
	lua_pushstring(L, real);
	free(real);
	return 1;
}

/* keep(name, text): a file of shoal's own, below the state folder; its path. */
static int l_keep(lua_State *L)
{
	size_t len;
	const char *name = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &len);
	const char *state = host_of(L)->config.state_folder;
	struct error e;
	luaL_argcheck(L, strchr(name, '/') == NULL && name[0] != '.', 1, "no name of a file");
	if (state == NULL) {
		error_set(&e, SHOAL_EIO, "there is no folder for shoal's own files");
		return lua_fail(L, &e, NULL, "shoal.fs");
	}
	const char *folder = lua_pushfstring(L, "%s/folders", state);
	const char *path = lua_pushfstring(L, "%s/%s", folder, name);
	enum shoal_err rc = fs_mkdirs(folder, 0700, &e);
	if (rc == SHOAL_OK && len != 0)
		rc = fs_write_file(path, text, len, 0600, &e);
	if (rc != SHOAL_OK)
		return lua_fail(L, &e, NULL, "shoal.fs");
	return 1;
}

int luaopen_shoal_fs(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "scan", l_scan },     { "parents", l_parents }, { "folder", l_folder },     { "chmod", l_chmod }, { "link", l_link },
		{ "match", l_match },   { "mkdirs", l_mkdirs },   { "absolute", l_absolute }, { "keep", l_keep },   { NULL, NULL },
	};
	luaL_newmetatable(L, FTS_TYPE);
	lua_pushcfunction(L, fts_gc);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, functions);
	return 1;
}
