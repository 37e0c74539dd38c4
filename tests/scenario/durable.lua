-- What a tracker has acknowledged stays: kill -9, a full disk, a damaged database, a backup; and the tools that tell.
local T = require "shoal.test"
local proc = require "shoal.proc"

local program = shoal.build_folder .. "/shoal-tracker"

-- Runs the tracker's program as a tool: its exit code, what it said.
local function tool(...)
  local p = proc.spawn({ program, ... }, { capture = true })
  local code = p:wait(60)
  return code, p:output(), p:errors()
end

local function shell(command)
  local p = proc.spawn({ "sh", "-c", command }, { capture = true })
  local code = p:wait(60)
  return code == 0, p:output() .. p:errors()
end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local function log_of(tracker) return assert(io.open(tracker.log)):read("a") end

local function groups(client) return #(client:list_groups() or {}) end

T.case("a running tracker says how it is; a stopped one can be checked", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  local one = c.trackers[1]
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("g"))))
  t.ok(c.alice:upload_file(c:file("f", 900000), "g"):wait(20))
  local code, out, err
  t.eventually(function()
    code, out, err = tool("--status", one.dir)
    return code ~= 0 or out:find(" 0 operations behind", 1, true)
  end, 20)
  t.eq(code, 0, err)
  t.match(out, "tracker 1 at " .. one.addr:gsub("%p", "%%%0") .. ": self")
  t.match(out, "tracker 2 at .-: connected, 0 operations behind, heard %d+%.%d s ago, its clock [+-]%d")
  t.match(out, "changes: taken")
  t.match(out, "rows: user 1, group 1,")
  t.match(out, "log: %d+ operations")
  t.match(out, "tracker.db: ")
  code, out, err = tool("--check", one.dir)
  t.eq(code, 7)
  t.match(err, "a tracker runs with the data folder")
  one:stop()
  code, out, err = tool("--status", one.dir)
  t.eq(code, 7)
  t.match(err, "no tracker runs")
  code, out, err = tool("--check", one.dir)
  t.eq(code, 0, err)
  t.match(out, "is whole: %d+ rows, piece hashes of 1 files")
  t.ok(shell(("dd if=/dev/urandom of=%s/tracker.db bs=4096 seek=3 count=3 conv=notrunc"):format(one.dir)))
  code, out, err = tool("--check", one.dir)
  t.eq(code, 10)
  t.match(err, "tracker.db' is damaged")
  t.eq(exists(one.dir .. "/control"), false)
  for _, folder in ipairs { c.dir, c.dir .. "/nowhere" } do
    code, out, err = tool("--check", folder)
    t.eq(code, 6)
    t.match(err, "is no tracker's data folder: there is no '.*/tracker.db'")
    t.eq(exists(folder .. "/lock"), false)
  end
end)

T.case("a backup of a running tracker starts another life of it, which catches up", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  local one, copy = c.trackers[1], c.dir .. "/copy.db"
  t.ok(c.alice:create_group("before"))
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("synced"))))
  local code, out, err = tool("--backup", one.dir, copy)
  t.eq(code, 0, err)
  t.match(out, "backed up to ")
  code, out, err = tool("--backup", one.dir, copy)
  t.eq(code, 12)
  t.match(err, "exists already, and is never written over\n$")
  t.eq(({ tool("--backup", one.dir, c.dir .. "/no/such/folder") })[1] ~= 0, true)
  local stamp
  for i = 1, 30 do stamp = t.ok(c.alice:create_group("after" .. i)) end
  t.ok(c.alice:wait_synced(stamp))
  one:kill()
  t.ok(shell(("rm -f %s/tracker.db %s/tracker.db-wal && cp %s %s/tracker.db"):format(one.dir, one.dir, copy, one.dir)))
  one:start()
  t.eventually(function() return c.alice:use_tracker(1) end, 20)
  t.eventually(function() return groups(c.alice) == 32 end, 20)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("new")))) -- numbers that were used before are not used again
  c.trackers[2]:kill()
  t.eq(groups(c.alice), 33)
end)

-- Ways to lose a database: what is left of it is set aside.
local ways = {
  header = "dd if=/dev/urandom of=tracker.db bs=64 count=1 conv=notrunc",
  middle = "dd if=/dev/urandom of=tracker.db bs=4096 seek=3 count=4 conv=notrunc",
  empty = ": > tracker.db",
  folder = "rm tracker.db && mkdir tracker.db",
  wal = "dd if=/dev/urandom of=tracker.db-wal bs=32 count=1 conv=notrunc",
  half = "truncate -s 12288 tracker.db",
}

T.case("a damaged database is set aside, and all of it comes from the other tracker", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  local one, n = c.trackers[1], 0
  t.ok(c.alice:upload_file(c:file("f", 900000), t.ok(c.alice:create_group("g")) and "g"):wait(20))
  for name, command in pairs(ways) do
    n = n + 1
    t.ok(c.alice:use_tracker(1))
    t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("group-" .. name))))
    if name == "wal" then one:kill() else one:stop() end -- stopped cleanly there is no WAL, killed all is in it
    t.ok(shell(("cd %s && %s"):format(one.dir, command)))
    one:start()
    t.eventually(function() return c.alice:use_tracker(1) end, 20)
    t.eventually(function() return groups(c.alice) == n + 1 end, 20)
    t.eventually(function() return not exists(one.dir .. "/tracker.db.rebuilding") end, 20)
    local _, kept = shell(("ls -d %s/tracker.db.damaged-*[0-9] | wc -l"):format(one.dir))
    t.eq(tonumber(kept), n, name)
  end
  t.match(log_of(one), "is kept as '.-/tracker.db.damaged%-%d+%-%d+")
  t.eventually(function() return (c.alice:list_files("g") or {})[1].state == "ok" end, 20) -- the piece hashes, too
  t.eq(({ tool("--status", one.dir) })[2]:match("changes: %a+"), "changes: taken")
end)

T.case("without another tracker the only copy is left alone", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  local one = c.trackers[1]
  t.ok(c.alice:create_group("g"))
  one:stop()
  t.ok(shell(("cd %s && %s"):format(one.dir, ways.middle)))
  one:launch{ program, "--data", one.dir, "--cluster-key", c.dir .. "/cluster.key", c.tracker_info, "1" }
  t.eq(one.process:wait(20), 13)
  one:forget()
  t.match(log_of(one), "no other tracker has a copy: put a backup in its place")
  t.eq(exists(one.dir .. "/tracker.db"), true)
end)

T.case("a full disk: reads go on, changes are refused, and it comes back by itself", function(t)
  if not shell("unshare -rm true") then t.skip("no namespaces of one's own here") end
  local c = t.cluster{ trackers = 2, start = 1, peers = {} }
  local two = c.trackers[2]
  local command = ("mount -t tmpfs -o size=3m none %s && exec %s --scrypt-ln 10 --login-rate 0 --create-rate 0 --data %s " ..
    "--cluster-key %s/cluster.key --log-file %s/two.log %s 2"):format(two.dir, program, two.dir, c.dir, c.dir, c.tracker_info)
  two:launch{ "unshare", "-rm", "sh", "-c", command }
  t.eventually(function() return proc.listens("127.0.0.1", two.port) end, 20)
  local inside = ("/proc/%d/root%s"):format(two.process:pid(), two.dir)
  local alice, bob = c:client("alice"), c:client("bob")
  t.eventually(function() return alice:use_tracker(2) end, 20)
  t.ok(bob:use_tracker(1))
  t.ok(alice:wait_synced(t.ok(alice:create_group("before"))))

  shell(("dd if=/dev/zero of=%s/filler bs=4096"):format(inside)) -- until there is no room
  local made, err = 0, nil
  t.eventually(function()
    local ok
    ok, err = alice:create_group("full" .. made)
    made = made + (ok and 1 or 0)
    return not ok
  end, 30)
  t.eq(err.code, "disk_full")
  t.match(err.message, "no space left on the disk; nothing was changed")
  t.eq(groups(alice), 1 + made)
  local refused = t.err("disk_full", alice:create_group("again"))
  t.match(refused.message, "disk is full")
  local _, status = tool("--status", inside)
  t.match(status, "changes: refused: the tracker's disk is full")
  t.ok(bob:create_group("meanwhile")) -- the other one goes on
  t.eq(groups(alice), 1 + made)

  t.ok(shell(("rm %s/filler"):format(inside)))
  t.eventually(function() return (alice:create_group("after")) end, 20)
  t.eventually(function() return groups(alice) == made + 3 end, 20) -- and it has what it missed
  t.eventually(function() return groups(bob) == made + 3 end, 20)
  bob:stop()
  alice:stop()
end)

-- The answers of one client, in whatever order they come: id -> the answer.
local function answers(client, n)
  local got = {}
  for i = 1, n do
    local text, why = client.connection:receive(60)
    if not text then error(("%s: %d of %d commands were not answered: %s"):format(client.name, n - i + 1, n, why), 2) end
    local answer = assert(shoal.json.decode(text))
    got[answer.id] = answer
  end
  return got
end

-- Each client has sent its commands, none was waited for: the trackers die while some are being committed.
local function write_and_kill(c, round, acknowledged)
  local posted, names = { [c.alice] = 0, [c.bob] = 0 }, { [c.alice] = {}, [c.bob] = {} }
  for k = 1, 8 + round % 12 do
    for client in pairs(posted) do
      local name = ("g-%d-%d-%s"):format(round, k, client.name)
      names[client][client:post("create_group", name)] = name
      posted[client] = posted[client] + 1
    end
  end
  -- the first answers tell that they are at it
  local before = answers(c.alice, 2)
  for _, tracker in ipairs(c.trackers) do tracker.process:kill(9) end
  for _, tracker in ipairs(c.trackers) do
    tracker:kill()
    tracker:start()
  end
  local tried = 0
  for client, n in pairs(posted) do
    local got = answers(client, client == c.alice and n - 2 or n)
    if client == c.alice then for id, answer in pairs(before) do got[id] = answer end end
    for id, name in pairs(names[client]) do
      if not got[id].err or got[id].err.code == "exists" then acknowledged[name] = true end -- exists: the retry found its own work
      tried = tried + 1
    end
  end
  return tried
end

-- Everything dies under load, again and again: what was acknowledged is there. ROUNDS=100 for longer.
T.case("kill -9 of all trackers under load", function(t)
  local rounds = tonumber(os.getenv("ROUNDS") or "10")
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob" } }
  local acknowledged, tried, count = {}, 0, 0
  for round = 1, rounds do tried = tried + write_and_kill(c, round, acknowledged) end
  for _ in pairs(acknowledged) do count = count + 1 end
  print(("# %d rounds, %d changes tried, %d acknowledged"):format(rounds, tried, count))
  if count < rounds then error("hardly anything was acknowledged") end
  local function missing()
    local have, n = {}, 0
    for _, g in ipairs(c.alice:list_groups() or {}) do have[g.name] = true end
    for name in pairs(acknowledged) do n = n + (have[name] and 0 or 1) end
    return n
  end
  for id = 1, 2 do
    t.eventually(function() return c.alice:use_tracker(id) end, 20)
    t.eventually(function() return missing() == 0 end, 20)
  end
  for _, tracker in ipairs(c.trackers) do
    tracker:stop()
    t.eq((tool("--check", tracker.dir)), 0)
  end
end)
