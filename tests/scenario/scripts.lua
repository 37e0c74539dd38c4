-- The scripts that users copy: a doorman lets two in, a release goes to all members, each of whom mirrors the group.
local T = require "shoal.test"
local proc = require "shoal.proc"

-- Starts scripts/NAME.lua as that user, with a folder of its own.
local function start(c, user, name, ...)
  local argv = c:command(("%s-%s-%d"):format(user, name, #c.programs + proc.mono() * 1e6 // 1))
  local secret = ("%s/%s.password"):format(c.dir, user)
  local f = assert(io.open(secret, "w"))
  f:write("pw-", user, "\n")
  f:close()
  for _, word in ipairs { "--password-file", secret, ("scripts/%s.lua"):format(name), ... } do argv[#argv + 1] = word end
  argv[#argv + 1] = "--user"
  argv[#argv + 1] = user
  return assert(proc.spawn(argv, { capture = true }))
end

local function ends(t, p, code)
  t.eq(p:wait(60), code, p:output() .. p:errors())
  return p:output()
end

local function says(t, p, pattern)
  t.eventually(function() return p:output():find(pattern) or not p:alive() end, 30)
  t.match(p:output() .. p:errors(), pattern)
end

T.case("doorman, fan_out and mirror do what they say", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob", "carol", "dave" } }
  t.ok(c.alice:create_group("team"))
  local names = c.dir .. "/names"
  local f = assert(io.open(names, "w"))
  f:write("bob\ncarol\n")
  f:close()

  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("team"))))
  t.ok(c.dave:wait_synced(t.ok(c.dave:join_group("team"))))
  local out = ends(t, start(c, "alice", "doorman", "team", names), 0)
  t.match(out, "bob is in")
  t.match(out, "dave is not on the list")
  local door = start(c, "alice", "doorman", "team", names, "--watch")
  says(t, door, "dave is not on the list") -- it is there
  t.ok(c.carol:join_group("team"))
  says(t, door, "carol is in")
  door:kill(15)
  ends(t, door, 143)
  t.eq(#t.ok(c.alice:list_requests("team")), 1)

  local first, second = c:file("first.bin", 3 * 524288 + 17), c:file("second file.bin", 100)
  local there, here = c.dir .. "/there", c.dir .. "/here"
  local watching = start(c, "carol", "mirror", "team", there, "--watch")
  local release = start(c, "alice", "fan_out", "team", first, second, "--timeout", "60s")
  says(t, release, "waiting for .*bob")
  local once = start(c, "bob", "mirror", "team", here, "--stay", "1h")
  t.match(ends(t, release, 0), "everybody has it\n$")
  says(t, once, "second file.bin")
  once:kill(15)
  ends(t, once, 143)
  for _, path in ipairs { first, second } do
    local name = path:match("[^/]+$")
    t.eq(shoal.hash(here .. "/" .. name), shoal.hash(path))
    t.eq(shoal.hash(there .. "/" .. name), shoal.hash(path))
  end
  watching:kill(15)
  ends(t, watching, 143)
end)

T.case("they end with an honest code", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("team"))
  ends(t, start(c, "bob", "mirror", "team"), 5) -- not a member
  ends(t, start(c, "bob", "mirror", "nowhere"), 6)
  ends(t, start(c, "bob", "doorman", "team", "/dev/null"), 5)
  ends(t, start(c, "alice", "fan_out", "team", "/nowhere"), 13)
  t.ok(c.bob:join_group("team"))
  t.ok(c.alice:accept_request("team", "bob"))
  local late = start(c, "alice", "fan_out", "team", c:file("a", 10), "--timeout", "1s")
  t.match(ends(t, late, 11), "waiting for bob")
  for _, name in ipairs { "mirror", "fan_out", "doorman" } do ends(t, start(c, "alice", name), 2) end
end)

local function put(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

T.case("a drop-box, a seed-box, a list in CSV, a report, limits by the clock", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("team"))
  t.ok(c.bob:join_group("team"))
  t.ok(c.alice:accept_request("team", "bob"))
  local first = c:file("box/plan, final.bin", 600000)
  c:file("box/half.part", 10)
  local box = start(c, "alice", "drop_box", "team", c.dir .. "/box", "--every", "100ms")
  says(t, box, "plan, final.bin")
  local later = c:file("box/later.bin", 3000)
  says(t, box, "later.bin")
  t.eq(#t.ok(c.bob:list_files("team")), 2)

  local seeds = start(c, "bob", "seed_box", c.dir .. "/seeds", "team")
  local function complete(name)
    local n = 0
    for _, seeder in ipairs(t.ok(c.alice:file_info("team", name)).seeders) do n = n + (seeder.complete and 1 or 0) end
    return n
  end
  t.eventually(function() return complete("later.bin") == 2 and complete("plan, final.bin") == 2 end, 30)
  box:kill(15)
  ends(t, box, 143)

  local list, report = c.dir .. "/list.csv", c.dir .. "/report.json"
  put(list, 'file,group,dest\r\n"plan, final.bin",team,' .. c.dir .. "/csv/\nlater.bin,team," .. c.dir .. "/csv/\n")
  t.match(ends(t, start(c, "alice", "from_csv", list, "--report", report), 0), "2 files, 0 of them were here already")
  t.match(ends(t, start(c, "alice", "from_csv", list), 0), "2 files, 2 of them")
  t.eq(shoal.hash(c.dir .. "/csv/plan, final.bin"), shoal.hash(first))
  t.eq(shoal.hash(c.dir .. "/csv/later.bin"), shoal.hash(later))
  put(list, "group,file\nteam,no such\n")
  ends(t, start(c, "alice", "from_csv", list), 6)

  seeds:kill(15)
  ends(t, seeds, 143)
  t.match(ends(t, start(c, "alice", "report", "team"), 0), "team: 2 members %(2 online%), 0 open requests, 2 files, .*")
  local r = t.ok(shoal.json.decode(ends(t, start(c, "bob", "report", "team", "--as-json"), 0)))
  t.eq(r.files, 2)
  t.eq(r.bytes, 603000)
  t.match(ends(t, start(c, "alice", "by_the_clock", "2M", "2M", "--once"), 0), "2.0 MiB/s down, 2.0 MiB/s up")
  for _, name in ipairs { "drop_box", "seed_box", "from_csv", "report", "by_the_clock" } do ends(t, start(c, "alice", name), 2) end
end)
