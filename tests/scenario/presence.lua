-- Who is online: at once by login and logout, 2 s after a connection broke, 30 s after the last sign of life; on every
-- tracker, by way of the others.
local T = require "shoal.test"
local proc = require "shoal.proc"

-- How `seer` sees `user`.
local function online(seer, user)
  for _, m in ipairs(seer:list_members("g") or {}) do
    if m.user == user then return m.online end
  end
end

local function at(client)
  local st = client:status()
  return st and st.logged_in and st.up and st.tracker or 0
end

local function move(t, client, id)
  t.ok(client:use_tracker(id))
  t.eventually(function() return at(client) == id end, 10)
end

-- alice at tracker 1, bob at tracker 2, and whoever else in group g.
local function begin(t, opts)
  local c = t.cluster(opts)
  move(t, c.alice, 1)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("g")), { timeout = 10 }))
  for _, p in ipairs(opts.peers) do
    if p ~= "alice" then
      move(t, c[p], 2)
      t.ok(c[p]:wait_synced(t.ok(c[p]:join_group("g")), { timeout = 10 }))
      t.ok(c.alice:wait_synced(t.ok(c.alice:accept_request("g", p)), { timeout = 10 }))
    end
  end
  for _, p in ipairs(opts.peers) do
    t.eventually(function() return online(c.alice, p) and online(c.bob, p) end, 10)
  end
  return c
end

-- Seconds until both bob at tracker 2 and alice at tracker 1 see it so.
local function until_seen(t, c, user, want, limit)
  local began = proc.mono()
  t.eventually(function() return online(c.alice, user) == want and online(c.bob, user) == want end, limit)
  return proc.mono() - began
end

T.case("login, logout, a broken connection, another tracker, another device", function(t)
  local c = begin(t, { trackers = 2, peers = { "alice", "bob", "cho" } })
  t.ok(c.cho:logout())
  until_seen(t, c, "cho", false, 2)
  t.ok(c.cho:login("cho", "pw-cho"))
  until_seen(t, c, "cho", true, 5)

  for i = 1, 6 do -- who moves is never away
    move(t, c.cho, 1 + i % 2)
    if not online(c.alice, "cho") or not online(c.bob, "cho") then error("cho was away while she moved") end
  end

  c.cho:kill()
  local gone = until_seen(t, c, "cho", false, 8)
  print(("# killed: offline everywhere after %.1f s"):format(gone))
  c.cho:start()
  until_seen(t, c, "cho", true, 5)

  local second = c:client("cho2", { user = "cho", password = "pw-cho", login = false })
  t.ok(second:login("cho", "pw-cho"))
  t.eq(#t.ok(c.cho:list_sessions()), 2)
  c.cho:kill()
  local began = proc.mono()
  repeat -- the other device is still there
    if not online(c.alice, "cho") then error("cho is online on her second device") end
  until proc.mono() - began > 3
  t.ok(second:logout())
  until_seen(t, c, "cho", false, 2)
end)

-- The waits of 20 and 30 s are made together: trackers 1 and 2 do not hear each other, tracker 3 hangs, cho hangs, and what
-- eve and tracker 1 send each other gets lost.
T.case("silence: a lease ends after 30 s, a client moves within 20 s, all come back", function(t)
  local c = begin(t, { trackers = 3, faults = true, peers = { "alice", "bob", "cho", "dave", "eve" } })
  move(t, c.dave, 3)
  move(t, c.eve, 1)
  t.ok(c.dave:list_groups())
  t.ok(c.eve:list_groups())
  c:hold(1, 2)
  c.trackers[3]:freeze()
  c:hold("eve", 1)
  c.cho:freeze()
  local began, away, moved = proc.mono(), {}, {}
  t.eventually(function()
    local now = proc.mono() - began
    if not away.bob and not online(c.alice, "bob") then away.bob = now end
    if not away.alice and not online(c.bob, "alice") then away.alice = now end
    if not away.cho and not online(c.bob, "cho") then away.cho = now end
    if not online(c.alice, "alice") or not online(c.bob, "bob") then error("one's own side goes on") end
    for name, from in pairs{ dave = 3, eve = 1 } do
      local here = at(c[name])
      if not moved[name] and here ~= from and here ~= 0 then moved[name] = now end
    end
    return away.alice and away.bob and away.cho and moved.dave and moved.eve
  end, 45)
  for name, s in pairs(away) do
    print(("# %s: offline after %.1f s"):format(name, s))
    if s < 15 or s > 33 then error(("%s was offline after %.1f s"):format(name, s)) end -- 30 s since the last beat
  end
  for name, s in pairs(moved) do
    print(("# %s: at another tracker after %.1f s"):format(name, s))
    if s > 22 then error(("%s moved after %.1f s"):format(name, s)) end
    t.ok(c[name]:list_groups())
  end
  c.cho:thaw()
  c.trackers[3]:thaw()
  c:heal()
  for _, p in ipairs{ "alice", "bob", "cho", "dave", "eve" } do until_seen(t, c, p, true, 20) end
end)
