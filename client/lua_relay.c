/* client/lua_relay.c - shoal.proc's network that can be broken: proc.network() gives one.
 *
 *     net:add(port) -> port      a route: connect there instead
 *     net:set(port, "pass" | "mute" | "cut" | "hold")
 *     net:close() */
#include "client/lua_internal.h"
#include "client/relay.h"

#define NETWORK_TYPE "shoal.network"

static struct relay *check_relay(lua_State *L)
{
	struct relay **r = luaL_checkudata(L, 1, NETWORK_TYPE);
	luaL_argcheck(L, *r != NULL, 1, "the network is closed");
	return *r;
}

static uint16_t check_port(lua_State *L, int arg)
{
	lua_Integer port = luaL_checkinteger(L, arg);
	luaL_argcheck(L, port > 0 && port <= UINT16_MAX, arg, "a port");
	return (uint16_t)port;
}

static int l_add(lua_State *L)
{
	struct relay *r = check_relay(L);
	struct error e = { 0 };
	uint16_t port = 0;
	if (relay_add(r, check_port(L, 2), &port, &e) != SHOAL_OK)
		return luaL_error(L, "%s", e.message);
	lua_pushinteger(L, port);
	return 1;
}

static int l_set(lua_State *L)
{
	static const char *const words[] = { [RELAY_PASS] = "pass", [RELAY_MUTE] = "mute", [RELAY_CUT] = "cut", [RELAY_HOLD] = "hold", NULL };
	struct relay *r = check_relay(L);
	struct error e = { 0 };
	if (relay_set(r, check_port(L, 2), (enum relay_mode)luaL_checkoption(L, 3, NULL, words), &e) != SHOAL_OK)
		return luaL_error(L, "%s", e.message);
	return 0;
}

static int l_close(lua_State *L)
{
	struct relay **r = luaL_checkudata(L, 1, NETWORK_TYPE);
	relay_free(*r);
	*r = NULL;
	return 0;
}

int lua_relay_network(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "add", l_add }, { "set", l_set }, { "close", l_close }, { "__gc", l_close }, { NULL, NULL }
	};
	struct error e = { 0 };
	struct relay **r = lua_newuserdatauv(L, sizeof(struct relay *), 0);
	*r = NULL;
	if (luaL_newmetatable(L, NETWORK_TYPE)) {
		luaL_setfuncs(L, methods, 0);
		lua_pushvalue(L, -1);
		lua_setfield(L, -2, "__index");
	}
	lua_setmetatable(L, -2);
	*r = relay_new(&e);
	return *r != NULL ? 1 : luaL_error(L, "%s", e.message);
}
