/* client/lua_proc.c - the module shoal.proc: what scenarios need and plain Lua lacks. Only with --test.
 *
 * Processes that it starts die with this one. Their output goes to memory files, so nobody waits for a pipe. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "client/lua_internal.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

#define PROCESS_TYPE "shoal.process"
#define CONNECTION_TYPE "shoal.connection"
enum { ARGS_MAX = 64, POLL_MS = 200, LINE_MAX_BYTES = 16 << 20, PORTS_MAX = 64 };

struct process {
	pid_t pid;  /* 0: none */
	int pidfd;
	int out, err; /* memory files, -1: none */
	bool ended;
	int code;   /* exit code, 128 + signal */
};

struct connection {
	int fd;
	bool datagrams; /* each is a line */
	struct buf in;
};

/* -- processes */

static int memory_file(lua_State *L, const char *text, size_t len)
{
	int fd = memfd_create("shoal", MFD_CLOEXEC);
	if (fd < 0 || !fs_write_all(fd, text, len) || lseek(fd, 0, SEEK_SET) != 0)
		luaL_error(L, "cannot make a memory file: %s", strerror(errno));
	return fd;
}

struct stdio {
	int in, out, err;
	bool terminal; /* all three: the process gets it as its own */
};

/* In the child: nothing but system calls until exec. */
static void become(char *const argv[], const struct stdio *io, const char *folder, pid_t parent)
{
	sigset_t none;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	if ((io->terminal ? setsid() < 0 : setpgid(0, 0) != 0) || dup2(io->in, 0) < 0 || dup2(io->out, 1) < 0 || dup2(io->err, 2) < 0)
		_exit(127);
	if (io->terminal && ioctl(0, TIOCSCTTY, 0) != 0)
		_exit(127);
	if (folder != NULL && chdir(folder) != 0)
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

static int read_argv(lua_State *L, const char *argv[ARGS_MAX + 1])
{
	luaL_checktype(L, 1, LUA_TTABLE);
	int n = (int)luaL_len(L, 1);
	luaL_argcheck(L, n > 0 && n <= ARGS_MAX, 1, "a list of 1 to 64 words");
	luaL_checkstack(L, n, NULL);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, 1, i);
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "a list of strings");
		argv[i - 1] = lua_tostring(L, -1); /* stays on the stack */
	}
	argv[n] = NULL;
	return n;
}

static const char *opt_text(lua_State *L, const char *name, size_t *len)
{
	if (!lua_istable(L, 2))
		return NULL;
	lua_getfield(L, 2, name); /* stays on the stack */
	return lua_tolstring(L, -1, len);
}

static void open_stdio(lua_State *L, struct process *p, struct stdio *io)
{
	size_t len = 0;
	const char *text = opt_text(L, "stdin", &len), *path = opt_text(L, "output", NULL);
	bool capture = opt_text(L, "capture", NULL) != NULL || lua_toboolean(L, -1);
	*io = (struct stdio){ .in = -1 };
	if (lua_istable(L, 2)) {
		lua_getfield(L, 2, "terminal"); /* stays on the stack */
		int fd = lua_pty_slave(L, -1);
		if (fd >= 0) {
			*io = (struct stdio){ .in = dup(fd), .out = dup(fd), .err = dup(fd), .terminal = true };
			lua_pty_given(L, -1);
			return;
		}
	}
	io->in = text != NULL ? memory_file(L, text, len) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (capture) {
		p->out = memory_file(L, "", 0);
		p->err = memory_file(L, "", 0);
		io->out = p->out;
		io->err = p->err;
		return;
	}
	io->out = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : dup(1);
	io->err = path != NULL ? dup(io->out) : dup(2);
	if (io->in < 0 || io->out < 0 || io->err < 0)
		luaL_error(L, "cannot open the output of a process: %s", strerror(errno));
}

/* spawn({program, arg...}, {stdin=text, output=path | capture=true | terminal=pty, cwd=folder}) */
static int l_spawn(lua_State *L)
{
	const char *argv[ARGS_MAX + 1];
	struct stdio io;
	lua_settop(L, 2);
	read_argv(L, argv);
	const char *folder = opt_text(L, "cwd", NULL);
	struct process *p = lua_newuserdatauv(L, sizeof(*p), 0);
	*p = (struct process){ .pidfd = -1, .out = -1, .err = -1 };
	luaL_setmetatable(L, PROCESS_TYPE);
	int at = lua_gettop(L);
	open_stdio(L, p, &io);
	pid_t parent = getpid();
	p->pid = fork();
	if (p->pid == 0)
		become((char *const *)(void *)argv, &io, folder, parent);
	int number = errno;
	close(io.in);
	if (p->out < 0) {
		close(io.out);
		close(io.err);
	}
	if (p->pid < 0) {
		p->pid = 0;
		return luaL_error(L, "cannot start a process: %s", strerror(number));
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	lua_settop(L, at);
	return 1;
}

static struct process *check_process(lua_State *L)
{
	return luaL_checkudata(L, 1, PROCESS_TYPE);
}

static bool reap(struct process *p, int flags)
{
	int status;
	if (p->ended)
		return true;
	if (waitpid(p->pid, &status, flags) != p->pid)
		return false;
	p->ended = true;
	p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

/* Waits for fd in slices, so that Ctrl-C is seen; false when the time is over. */
static bool wait_fd(lua_State *L, int fd, short events, uint64_t deadline)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd pfd = { .fd = fd, .events = events };
		uint64_t left = now < deadline ? deadline - now : 0;
		if (poll(&pfd, 1, left < POLL_MS ? (int)left : POLL_MS) > 0)
			return true;
		if (interrupt_pending() != 0)
			lua_check_interrupt(L);
		if (now >= deadline)
			return false;
	}
}

static uint64_t deadline_arg(lua_State *L, int arg, lua_Number otherwise)
{
	return clock_mono_ms() + (uint64_t)(luaL_optnumber(L, arg, otherwise) * 1000);
}

/* The exit code (128 + the signal), or nil when it has not ended in time. */
static int l_wait(lua_State *L)
{
	struct process *p = check_process(L);
	uint64_t deadline = deadline_arg(L, 2, 60);
	while (!reap(p, WNOHANG))
		if (!wait_fd(L, p->pidfd, POLLIN, deadline) && !reap(p, WNOHANG)) {
			luaL_pushfail(L);
			lua_pushliteral(L, "timeout");
			return 2;
		}
	lua_pushinteger(L, p->code);
	return 1;
}

static int l_kill(lua_State *L)
{
	struct process *p = check_process(L);
	int sig = (int)luaL_optinteger(L, 2, SIGKILL);
	lua_pushboolean(L, !reap(p, WNOHANG) && kill(p->pid, sig) == 0);
	return 1;
}

static int l_alive(lua_State *L)
{
	lua_pushboolean(L, !reap(check_process(L), WNOHANG));
	return 1;
}

static int l_pid(lua_State *L)
{
	lua_pushinteger(L, check_process(L)->pid);
	return 1;
}

static int read_back(lua_State *L, int fd)
{
	luaL_Buffer b;
	ssize_t n = 0;
	if (fd < 0)
		return luaL_error(L, "the output of this process is not captured");
	luaL_buffinit(L, &b);
	char *copy = str_printf("/proc/self/fd/%d", fd); /* an offset of its own: the process may still write */
	int again = open(copy, O_RDONLY | O_CLOEXEC);
	free(copy);
	do {
		luaL_addsize(&b, (size_t)n);
		n = read(again, luaL_prepbuffer(&b), LUAL_BUFFERSIZE);
	} while (n > 0);
	close(again);
	luaL_pushresult(&b);
	return 1;
}

static int l_output(lua_State *L)
{
	return read_back(L, check_process(L)->out);
}

static int l_errors(lua_State *L)
{
	return read_back(L, check_process(L)->err);
}

static int process_gc(lua_State *L)
{
	struct process *p = check_process(L);
	if (p->pid > 0 && !reap(p, WNOHANG)) {
		kill(p->pid, SIGKILL);
		reap(p, 0);
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	if (p->out >= 0)
		close(p->out);
	if (p->err >= 0)
		close(p->err);
	*p = (struct process){ .pidfd = -1, .out = -1, .err = -1, .ended = true };
	return 0;
}

/* -- connections to a control socket */

/* datagrams(path): a socket whose receive() gives one datagram as a line. */
static int l_datagrams(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	luaL_argcheck(L, strlen(path) < sizeof(sa.sun_path), 1, "too long for a socket's path");
	memcpy(sa.sun_path, path, strlen(path) + 1);
	struct connection *c = lua_newuserdatauv(L, sizeof(*c), 0);
	*c = (struct connection){ .fd = -1, .datagrams = true };
	luaL_setmetatable(L, CONNECTION_TYPE);
	c->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 1;
	return luaL_error(L, "cannot listen at '%s': %s", path, strerror(errno));
}

static int l_connect(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	luaL_argcheck(L, strlen(path) < sizeof(sa.sun_path), 1, "too long for a socket's path");
	memcpy(sa.sun_path, path, strlen(path) + 1);
	struct connection *c = lua_newuserdatauv(L, sizeof(*c), 0);
	*c = (struct connection){ .fd = -1 };
	luaL_setmetatable(L, CONNECTION_TYPE);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 1;
	luaL_pushfail(L);
	lua_pushstring(L, strerror(errno));
	return 2;
}

static struct connection *check_connection(lua_State *L)
{
	return luaL_checkudata(L, 1, CONNECTION_TYPE);
}

static int l_send(lua_State *L)
{
	struct connection *c = check_connection(L);
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, c->fd >= 0 && fs_write_all(c->fd, text, len) && fs_write_all(c->fd, "\n", 1));
	return 1;
}

/* The next line, or nil and "timeout" or "closed". */
static int l_receive(lua_State *L)
{
	struct connection *c = check_connection(L);
	uint64_t deadline = deadline_arg(L, 2, 60);
	for (;;) {
		uint8_t *nl = c->in.len != 0 ? memchr(c->in.data, '\n', c->in.len) : NULL;
		if (nl != NULL) {
			size_t len = (size_t)(nl - c->in.data);
			lua_pushlstring(L, (char *)c->in.data, len);
			buf_consume(&c->in, len + 1);
			return 1;
		}
		luaL_pushfail(L);
		if (c->fd >= 0 && !wait_fd(L, c->fd, POLLIN, deadline)) {
			lua_pushliteral(L, "timeout");
			return 2;
		}
		ssize_t n = c->fd >= 0 && c->in.len < LINE_MAX_BYTES && buf_reserve(&c->in, 65536)
		                    ? read(c->fd, c->in.data + c->in.len, c->in.cap - c->in.len)
		                    : 0;
		if (n <= 0) {
			lua_pushliteral(L, "closed");
			return 2;
		}
		c->in.len += (size_t)n;
		if (c->datagrams)
			buf_put(&c->in, "\n", 1);
		lua_pop(L, 1);
	}
}

static int connection_gc(lua_State *L)
{
	struct connection *c = check_connection(L);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
	return 0;
}

/* -- the machine */

/* free_ports(n): ports that nobody listens on, all different. */
static int l_free_ports(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	int fds[PORTS_MAX];
	luaL_argcheck(L, n >= 0 && n <= PORTS_MAX, 1, "0 to 64");
	lua_createtable(L, (int)n, 0);
	for (lua_Integer i = 0; i < n; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(sa);
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(fds[i], (struct sockaddr *)&sa, sizeof(sa)) != 0 || getsockname(fds[i], (struct sockaddr *)&sa, &len) != 0)
			sa.sin_port = 0;
		lua_pushinteger(L, ntohs(sa.sin_port));
		lua_rawseti(L, -2, i + 1);
	}
	for (lua_Integer i = 0; i < n; i++)
		close(fds[i]);
	return 1;
}

/* listens(host, port): does somebody accept connections there? */
static int l_listens(lua_State *L)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)luaL_checkinteger(L, 2)) };
	luaL_argcheck(L, inet_pton(AF_INET, luaL_checkstring(L, 1), &sa.sin_addr) == 1, 1, "not an IPv4 address");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	lua_pushboolean(L, fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	if (fd >= 0)
		close(fd);
	return 1;
}

static int l_temp_folder(lua_State *L)
{
	const char *tmp = getenv("TMPDIR");
	lua_pushfstring(L, "%s/%s.XXXXXX", tmp != NULL ? tmp : "/tmp", luaL_optstring(L, 1, "shoal"));
	char *path = xstrdup(lua_tostring(L, -1));
	if (mkdtemp(path) == NULL) {
		free(path);
		return luaL_error(L, "cannot make a temporary folder: %s", strerror(errno));
	}
	lua_pushstring(L, path);
	free(path);
	return 1;
}

static int l_mkdir(lua_State *L)
{
	struct error e;
	if (fs_mkdirs(luaL_checkstring(L, 1), 0700, &e) != SHOAL_OK)
		return luaL_error(L, "%s", e.message);
	lua_pushboolean(L, 1);
	return 1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int l_remove_tree(lua_State *L)
{
	lua_pushboolean(L, nftw(luaL_checkstring(L, 1), remove_one, 32, FTW_DEPTH | FTW_PHYS) == 0);
	return 1;
}

static int l_interrupted(lua_State *L)
{
	lua_pushboolean(L, interrupt_pending() != 0);
	return 1;
}

static int l_mono(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_mono_us() / 1e6);
	return 1;
}

/* random_file(path, size, seed): the same seed gives the same bytes, on every machine. */
static int l_random_file(lua_State *L)
{
	enum { BLOCK = 8192 };
	const char *path = luaL_checkstring(L, 1);
	uint64_t size = (uint64_t)luaL_checkinteger(L, 2), state = (uint64_t)luaL_optinteger(L, 3, 1) * 2654435769u + 1;
	uint8_t block[BLOCK];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0;
	while (ok && size != 0) {
		size_t n = size < BLOCK ? (size_t)size : BLOCK;
		for (size_t i = 0; i < BLOCK; i += 8) {
			state += 0x9e3779b97f4a7c15u;
			uint64_t x = state;
			x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
			x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
			x ^= x >> 31;
			for (unsigned b = 0; b < 8; b++)
				block[i + b] = (uint8_t)(x >> 8 * b);
		}
		ok = fs_write_all(fd, block, n);
		size -= n;
	}
	int number = errno;
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok)
		return luaL_error(L, "cannot write '%s': %s", path, strerror(number));
	lua_pushvalue(L, 1);
	return 1;
}

int luaopen_shoal_proc(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "spawn", l_spawn },         { "connect", l_connect },         { "datagrams", l_datagrams },
		         { "free_ports", l_free_ports },
		{ "temp_folder", l_temp_folder }, { "mkdir", l_mkdir },         { "remove_tree", l_remove_tree },
		{ "interrupted", l_interrupted }, { "network", lua_relay_network },  { "terminal", lua_pty_open },
		{ "mono", l_mono },           { "listens", l_listens },         { "random_file", l_random_file }, { NULL, NULL },
	};
	static const luaL_Reg process[] = {
		{ "wait", l_wait },     { "kill", l_kill },     { "alive", l_alive },      { "pid", l_pid },
		{ "output", l_output }, { "errors", l_errors }, { "__gc", process_gc }, { NULL, NULL },
	};
	static const luaL_Reg connection[] = {
		{ "send", l_send }, { "receive", l_receive }, { "close", connection_gc }, { "__gc", connection_gc }, { NULL, NULL }
	};
	lua_pty_types(L);
	luaL_newmetatable(L, PROCESS_TYPE);
	luaL_setfuncs(L, process, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newmetatable(L, CONNECTION_TYPE);
	luaL_setfuncs(L, connection, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, functions);
	return 1;
}
