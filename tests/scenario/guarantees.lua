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

T.case("wait_synced waits for all or for some, and says who has it not", function(t)
  local c = t.cluster{ trackers = 3, faults = true, peers = { "alice" } }
  move(t, c.alice, 1)
  local s = t.ok(c.alice:create_group("g"))
  t.eq(t.ok(c.alice:wait_synced(s, { timeout = 10 })), true)
  c:cut(1, 3)
  c:cut(2, 3)
  s = t.ok(c.alice:create_group("h"))
  t.eq(t.ok(c.alice:wait_synced(s, { trackers = 1, timeout = 10 })), true)
  local err = t.err("timeout", c.alice:wait_synced(s, { trackers = "all", timeout = 0.5 }))
  t.match(err.message, "tracker 3 has not got it")
  c:heal()
  t.eq(t.ok(c.alice:wait_synced(s, { timeout = 10 })), true)
end)

-- Every change is interrupted at its reply: it is done, the client does not know, its tracker is killed. On the other one
-- it is asked once more, with the same request id.
local Interrupted = {}
Interrupted.__index = Interrupted

function Interrupted.begin(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice", "bob" } }
  move(t, c.bob, 2)
  local self = setmetatable({ t = t, c = c }, Interrupted)
  self:again()
  return self
end

-- The tracker whose answers will be lost is the one that alice talks to.
function Interrupted:again()
  move(self.t, self.c.alice, 1)
  linked(self.t, self.c.alice, 2)
end

-- Nothing that tracker 1 says reaches alice from now on.
function Interrupted:deafen() self.c:mute("alice", 1) end

-- What she asked is done, as bob sees at tracker 2; then tracker 1 dies, with its answer. `take` gives what she is told in
-- the end.
function Interrupted:strike(done, take)
  local c = self.c
  self.t.eventually(done, 10)
  c.trackers[1]:kill()
  c:cut("alice", 1) -- what it had said is lost for good
  local answer = self.t.ok(take())
  c:heal()
  c.trackers[1]:start()
  self:again()
  return answer
end

function Interrupted:command(done, verb, ...)
  self:deafen()
  local id = self.c.alice:post(verb, ...)
  return self:strike(done, function() return self.c.alice:take(id) end)
end

T.case("killed at the reply: the effect is there, once, and the client gets its answer", function(t)
  local i = Interrupted.begin(t)
  local c = i.c
  local function groups() return #(c.bob:list_groups("*") or {}) end
  local function members() return #(c.bob:list_members("g") or {}) end

  i:command(function() return groups() == 1 end, "create_group", "g")
  t.eq(groups(), 1)
  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("g")), { timeout = 10 }))
  i:command(function() return members() == 2 end, "accept_request", "g", "bob")
  t.eq(members(), 2)
  local cho = c:client("cho", { login = false })
  i:command(function()
    cho:use_tracker(2)
    return cho:login("cho", "pw-cho")
  end, "create_user", "cho", "pw-cho")
  i:command(function() return (c.bob:list_groups("g") or { {} })[1].owner == "bob" end, "transfer_group", "g", "bob")
  i:command(function() return members() == 1 end, "leave_group", "g")
  t.eq(members(), 1)
  for _, who in ipairs{ c.alice, c.bob } do -- bob may be told that the group is his now
    for _, conflict in ipairs(t.ok(who:list_conflicts())) do t.eq(conflict.kind, "owner-now") end
  end
end)

-- How many open shares both trackers hold; nil if they differ.
local function shares(c)
  local n
  for i = 1, 2 do
    local p = proc.spawn({ shoal.build_folder .. "/shoal-tracker", "--status", c.trackers[i].dir }, { capture = true })
    if p:wait(10) ~= 0 then return nil end
    local here = tonumber(p:output():match("share (%d+)"))
    if n and n ~= here then return nil end
    n = here
  end
  return n
end

-- A file without holes for its hash, with nothing but holes for the disk.
local function holes(path, mib)
  local f = assert(io.open(path, "w"))
  f:seek("set", mib * 1048576 - 1)
  f:write("\0")
  f:close()
end

-- Bob has shared it, so the tracker needs no hashes from alice: what she says after she has hashed it is the upload itself,
-- and only the answer to that is lost. Hashed faster than one can look, it is tried again with more.
local function upload_interrupted(t, i, folder)
  local c, mib = i.c, 512
  while true do
    local name = ("big-%d.bin"):format(mib)
    for _, who in ipairs{ "alice", "bob" } do
      proc.mkdir(folder .. "/" .. who)
      holes(("%s/%s/%s"):format(folder, who, name), mib)
    end
    t.ok(t.ok(c.bob:upload_file(folder .. "/bob/" .. name, "g")):wait(60))
    t.eventually(function() return shares(c) == 1 end, 10)
    local job = t.ok(c.alice:upload_file(folder .. "/alice/" .. name, "g"))
    local state
    repeat state = job.state until state ~= "queued" and state ~= "starting"
    i:deafen()
    if state == "hashing" and job.state == "hashing" then
      i:strike(function()
        local row = (c.bob:list_files("g") or {})[1]
        return row and row.seeders == 2
      end, function() return job:wait(30) end)
      return name
    end
    c:heal()
    t.ok(job:wait(60))
    t.ok(c.bob:stop_share("g", name))
    t.ok(c.alice:stop_share("g", name))
    t.eventually(function() return shares(c) == 0 end, 10)
    mib = mib * 2
    if mib > 16384 then error("it is hashed too fast to be interrupted", 0) end
  end
end

T.case("killed at the reply of an upload and of a stop_share: done once as well", function(t)
  local i = Interrupted.begin(t)
  local c = i.c
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("g")), { timeout = 10 }))
  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("g")), { timeout = 10 }))
  t.ok(c.alice:wait_synced(t.ok(c.alice:accept_request("g", "bob")), { timeout = 10 }))
  local name = upload_interrupted(t, i, c.dir)
  t.eventually(function() return shares(c) == 2 end, 10)
  i:command(function() return (c.bob:list_files("g") or { {} })[1].seeders == 1 end, "stop_share", "g", name)
  t.eventually(function() return shares(c) == 1 end, 10)
  t.eq(#t.ok(c.bob:list_files("g")), 1)
  t.err("not_found", c.alice:stop_share("g", name))
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
