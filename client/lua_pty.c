/* client/lua_pty.c - a pseudo-terminal for scenarios: what stands on it, and keys that are typed. Only with --test. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "client/lua_internal.h"
#include "core/base/fs.h"

#define PTY_TYPE "shoal.pty"
enum { SCREEN_MAX = 16 << 20, READ_SIZE = 65536 };

struct pty {
	int master, slave; /* slave: until it has been handed to a process; -1 afterwards */
	struct buf seen;   /* all that was written to it */
};

static struct pty *check_pty(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, PTY_TYPE);
}

/* terminal([columns [, rows]]) */
int lua_pty_open(lua_State *L)
{
	struct winsize size = { .ws_col = (unsigned short)luaL_optinteger(L, 1, 80),
		                .ws_row = (unsigned short)luaL_optinteger(L, 2, 24) };
	struct pty *p = lua_newuserdatauv(L, sizeof(*p), 0);
	*p = (struct pty){ .master = -1, .slave = -1 };
	luaL_setmetatable(L, PTY_TYPE);
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	char name[64];
	bool ok = p->master >= 0 && grantpt(p->master) == 0 && unlockpt(p->master) == 0 &&
	          ptsname_r(p->master, name, sizeof(name)) == 0 && ioctl(p->master, TIOCSWINSZ, &size) == 0;
	p->slave = ok ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	return p->slave >= 0 ? 1 : luaL_error(L, "cannot make a terminal: %s", strerror(errno));
}

int lua_pty_slave(lua_State *L, int index)
{
	struct pty *p = luaL_testudata(L, index, PTY_TYPE);
	return p != NULL ? p->slave : -1;
}

/* The process has it now: when that ends, the terminal does. */
void lua_pty_given(lua_State *L, int index)
{
	struct pty *p = luaL_testudata(L, index, PTY_TYPE);
	if (p != NULL && p->slave >= 0) {
		close(p->slave);
		p->slave = -1;
	}
}

/* type(text): as if it came from the keyboard. */
static int l_type(lua_State *L)
{
	struct pty *p = check_pty(L, 1);
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, fs_write_all(p->master, text, len));
	return 1;
}

/* text(): all that was shown so far, escape sequences included. */
static int l_text(lua_State *L)
{
	struct pty *p = check_pty(L, 1);
	while (p->master >= 0 && p->seen.len < SCREEN_MAX && buf_reserve(&p->seen, READ_SIZE)) {
		ssize_t n = read(p->master, p->seen.data + p->seen.len, READ_SIZE);
		if (n <= 0)
			break;
		p->seen.len += (size_t)n;
	}
	lua_pushlstring(L, p->seen.data != NULL ? (const char *)p->seen.data : "", p->seen.len);
	return 1;
}

static int pty_gc(lua_State *L)
{
	struct pty *p = check_pty(L, 1);
	if (p->master >= 0)
		close(p->master);
	if (p->slave >= 0)
		close(p->slave);
	buf_free(&p->seen);
	*p = (struct pty){ .master = -1, .slave = -1 };
	return 0;
}

void lua_pty_types(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "type", l_type }, { "text", l_text }, { "close", pty_gc }, { "__gc", pty_gc }, { NULL, NULL }
	};
	luaL_newmetatable(L, PTY_TYPE);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
