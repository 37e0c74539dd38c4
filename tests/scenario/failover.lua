-- A client whose connection breaks goes on at another tracker at once. (Silence takes 20 s: presence.lua.) FAILOVER_ROUNDS
-- says how often each way is tried.
local T = require "shoal.test"
local proc = require "shoal.proc"
local ROUNDS = tonumber(os.getenv("FAILOVER_ROUNDS") or "3")

local function at(client)
  local st = client:status()
  return st and st.logged_in and st.up and st.tracker or 0
end

local function linked(t, client, other)
  t.eventually(function()
    for _, row in ipairs(client:trackers() or {}) do
      if row.id == other then return row.state == "connected" and row.behind == 0 end
    end
  end, 15)
end

local function report(name, seconds)
  table.sort(seconds)
  print(("# %s: %d times, median %.0f ms, worst %.0f ms"):format(name, #seconds, seconds[(#seconds + 1) // 2] * 1000,
    seconds[#seconds] * 1000))
end

-- How long until the next command is answered, after its tracker was ended in that way.
local function measure(t, name, finish, mend)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice" } }
  local before = t.ok(c.alice:list_sessions())
  local seconds = {}
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("g")), { timeout = 10 }))
  for _ = 1, ROUNDS do
    local here = at(c.alice)
    linked(t, c.alice, 3 - here)
    finish(c, here)
    local began = proc.mono()
    t.eq(#t.ok(c.alice:list_groups()), 1)
    seconds[#seconds + 1] = proc.mono() - began
    t.eq(at(c.alice), 3 - here)
    mend(c, here)
  end
  report(name, seconds)
  if seconds[#seconds] > 2 then error(("it took %.1f s"):format(seconds[#seconds])) end
  local after = t.ok(c.alice:list_sessions()) -- the same session: resumed by its token, not logged in anew
  t.eq(#after, 1)
  t.eq(after[1].id, before[1].id)
end

T.case("killed: the next command is answered in under 2 s", function(t)
  measure(t, "failover after kill -9", function(c, i) c.trackers[i]:kill() end, function(c, i) c.trackers[i]:start() end)
end)

T.case("stopped in good order: the same", function(t)
  measure(t, "failover after SIGTERM", function(c, i) c.trackers[i]:stop() end, function(c, i) c.trackers[i]:start() end)
end)

T.case("the connection reset by the network: the same", function(t)
  measure(t, "failover after a reset", function(c, i) c:cut("alice", i) end, function(c, i) c:heal("alice", i) end)
end)
