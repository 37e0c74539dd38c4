-- What a client may count on when it moves to another tracker: its own changes are there, or it is told that they are not;
-- and a command that was interrupted has its effect once.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function connected(c, id)
  return function()
    local st = c:status()
    return st and st.tracker == id and st.logged_in
  end
end

local function move(t, client, id)
  t.eventually(function() return client:use_tracker(id) end, 10)
  t.eventually(connected(client, id), 10)
end

-- The trackers have each other on the line, and the client's own takes changes: one that is joining would say so, and with
-- its answers held back nobody would hear it.
local function linked(t, client, id)
  t.eventually(function()
    local rows = client:trackers() or {}
    local own, row = rows[1], rows[2]
    return row and own.state == "self" and row.id == id and row.state == "connected" and row.behind == 0
  end, 10)
end

T.case("what only a dead tracker knows is told as lacking, within 5 s, and comes back with it", function(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice" } }
  move(t, c.alice, 1)
  linked(t, c.alice, 2)
  c:cut(1, 2)
  t.ok(c.alice:create_group("only here"))
  c.trackers[1]:kill()
  local began = proc.mono()
  local err = t.err("busy", c.alice:list_groups())
  local seconds = proc.mono() - began
  t.match(err.message, "tracker 2 has not got your last change yet, made at tracker 1")
  if seconds > 7.5 then error(("it took %.1f s to say so"):format(seconds)) end
  t.eq(#t.ok(c.alice:list_groups()), 0) -- who goes on works with what there is
  t.ok(c.alice:create_group("later"))
  c:heal()
  c.trackers[1]:start()
  t.eventually(function() return #(c.alice:list_groups() or {}) == 2 end, 15)
end)

T.case("what is on its way is waited for", function(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice" } }
  move(t, c.alice, 1)
  linked(t, c.alice, 2)
  c:cut(1, 2)
  t.ok(c.alice:create_group("g"))
  move(t, c.alice, 2) -- the session moves at once, whatever is lacking
  local id = c.alice:post("list_members", "g")
  c:heal(1, 2)
  t.eq(#t.ok(c.alice:take(id)), 1) -- no "no group 'g'"
end)

T.case("wait_synced says who has it", function(t)
  local c = t.cluster{ trackers = 3, faults = true, peers = { "alice" } }
  move(t, c.alice, 1)
  local s = t.ok(c.alice:create_group("g"))
  t.eq(t.ok(c.alice:wait_synced(s, { timeout = 10 })), { 1, 2, 3 })
  c:cut(1, 3)
  c:cut(2, 3)
  s = t.ok(c.alice:create_group("h"))
  t.eq(t.ok(c.alice:wait_synced(s, { trackers = 1, timeout = 10 })), { 1, 2 })
  local err = t.err("timeout", c.alice:wait_synced(s, { trackers = "all", timeout = 0.5 }))
  t.match(err.message, "tracker 3 has not got it")
  c:heal()
  t.eq(t.ok(c.alice:wait_synced(s, { timeout = 10 })), { 1, 2, 3 })
end)

-- Every change is interrupted at its reply: it is done, the client does not know, its tracker is killed. On the other one
-- it is asked once more, with the same request id.
T.case("killed at the reply: the effect is there, once, and the client gets its answer", function(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice", "bob" } }
  move(t, c.bob, 2)
  -- `done`: bob sees it at tracker 2
  local function interrupted(done, verb, ...)
    move(t, c.alice, 1)
    linked(t, c.alice, 2)
    c:mute("alice", 1)
    local id = c.alice:post(verb, ...)
    t.eventually(done, 10)
    c.trackers[1]:kill()
    c:cut("alice", 1) -- what it had said is lost for good
    local answer = t.ok(c.alice:take(id))
    c:heal()
    c.trackers[1]:start()
    return answer
  end
  local function groups() return #(c.bob:list_groups("*") or {}) end
  local function members() return #(c.bob:list_members("g") or {}) end

  t.ok(interrupted(function() return groups() == 1 end, "create_group", "g"))
  t.eq(groups(), 1)
  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("g")), { timeout = 10 }))
  t.ok(interrupted(function() return members() == 2 end, "accept_request", "g", "bob"))
  t.eq(members(), 2)
  local cho = c:client("cho", { login = false })
  t.ok(interrupted(function()
    cho:use_tracker(2)
    return cho:login("cho", "pw-cho")
  end, "create_user", "cho", "pw-cho"))
  t.ok(interrupted(function() return (c.bob:list_groups("g") or { {} })[1].owner == "bob" end, "transfer_group", "g", "bob"))
  t.ok(interrupted(function() return members() == 1 end, "leave_group", "g"))
  t.eq(members(), 1)
  for _, who in ipairs{ c.alice, c.bob } do -- bob may be told that the group is his now
    for _, conflict in ipairs(t.ok(who:list_conflicts())) do t.eq(conflict.kind, "owner-now") end
  end
end)

-- The tracker is killed before anybody else has heard: the second tracker does it anew, and both make the same row.
T.case("done twice, on two trackers that do not see each other, it is one", function(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice", "bob" } }
  move(t, c.alice, 1)
  move(t, c.bob, 1)
  linked(t, c.alice, 2)
  c:cut(1, 2)
  c:mute("alice", 1)
  local id = c.alice:post("create_group", "g")
  t.eventually(function() return #(c.bob:list_groups("*") or {}) == 1 end, 10) -- durable, and told to nobody else
  c.trackers[1]:kill()
  c:cut("alice", 1)
  t.ok(c.alice:take(id))
  c:heal()
  c.trackers[1]:start()
  linked(t, c.alice, 1)
  for i = 1, 2 do
    move(t, c.alice, i)
    local groups = t.ok(c.alice:list_groups())
    t.eq(#groups, 1)
    t.eq(groups[1].name, "g")
    t.eq(groups[1].members, 1)
    t.eq(#t.ok(c.alice:list_conflicts()), 0)
  end
end)
