-- Chaos: real trackers and clients, each in a network namespace of its own; the network breaks, trackers die, hang and
-- lose their disks, and clients go on. Then all is well, and what is there is held against what clients were told.
--
--   CHAOS_SEED=17 CHAOS_SECONDS=60 CHAOS_TRACKERS=5 CHAOS_CLIENTS=10 build/shoal --test tests/chaos/chaos.lua
--
-- The seed gives the same faults and commands, not the same moments: these are the machine's. A failing run keeps its
-- folder, with the history and every log.
local T = require "shoal.test"
local proc = require "shoal.proc"
local Lab, Load, Nemesis, check = require "lab", require "load", require "nemesis", require "check"

local NAMES = { "ana", "ben", "cho", "dee", "eli", "fay", "gus", "hal", "ida", "jon" }
local ANSWER_SECONDS = 60 -- the longest that any command may take; its own deadlines end it at half of that
local AGREE_SECONDS = 20  -- from the moment when all is well and no command is open: 5 s until a dead link is noticed,
                          -- 5 s for a connect attempt, 2 s of back-off, and a loaded machine

local function number(name, otherwise) return tonumber(os.getenv(name) or "") or otherwise end

local function write_log(lab)
  local path = lab.cluster.dir .. "/nemesis.log"
  local f, from = assert(io.open(path, "a")), proc.mono()
  f:setvbuf("line")
  return function(line) f:write(("%.3f %.2f %s\n"):format(proc.mono(), proc.mono() - from, line)) end
end

-- Until no command is open and everybody is logged in.
local function quieten(t, load)
  local deadline = proc.mono() + ANSWER_SECONDS
  while load:open() do
    if not load:step(false, 0) then shoal.sleep(0.005) end
    if proc.mono() > deadline then error("no answer: " .. shoal.json.encode(load:open()), 0) end
  end
  for _, c in ipairs(load.clients) do
    t.eventually(function()
      local status = c.peer:status()
      return status and status.logged_in or c.peer:login(c.name, c.peer.password)
    end, ANSWER_SECONDS)
  end
end

-- Seconds until all trackers have the same digest, and nobody is behind.
local function agree(lab)
  local from = proc.mono()
  while true do
    local seen, n, text = {}, 0, ""
    for i in ipairs(lab.trackers) do
      local status = lab:status(i) or ""
      local digest = status:match("digest: ([^\n]+)") or "none"
      if status:find("changes: refused", 1, true) then digest = digest .. " refuses changes" end
      if not seen[digest] then n = n + 1 end
      seen[digest] = true
      text = text .. status
    end
    if n == 1 and not seen.none then return proc.mono() - from end
    if proc.mono() - from > AGREE_SECONDS then error("the trackers do not agree:\n" .. text, 0) end
    shoal.sleep(0.05)
  end
end

-- -- what the trackers show

local function set_of(rows, key, value)
  local out = {}
  for _, row in ipairs(rows) do
    if out[row[key]] then error(("'%s' is shown twice"):format(row[key]), 0) end
    out[row[key]] = value and row[value] or row
  end
  return out
end

local function must(who, what, value, err)
  if not value then error(("%s: %s: %s"):format(who, what, tostring(err)), 0) end
  return value
end

-- What one user sees at his tracker, added to the view.
local function look(load, c, view)
  local groups = set_of(must(c.name, "list_groups", c.peer:list_groups()), "name")
  for name, row in pairs(groups) do
    local known = view.groups[name]
    if known and known.owner ~= row.owner then load:complain("%s belongs to %s and to %s", name, known.owner, row.owner) end
    view.groups[name] = { owner = row.owner, members = row.members }
    if (row.role == "owner" or row.role == "member") and not view.members[name] then
      view.members[name] = set_of(must(c.name, "list_members " .. name, c.peer:list_members(name)), "user", "role")
      view.files[name] = set_of(must(c.name, "list_files " .. name, c.peer:list_files(name, { all = true })), "hash", "name")
    end
    if row.role == "owner" then
      view.requests[name] = set_of(must(c.name, "list_requests " .. name, c.peer:list_requests(name)), "user", "user")
    end
  end
end

local function look_at(load, i)
  local view = { groups = {}, members = {}, files = {}, requests = {} }
  for _, c in ipairs(load.clients) do
    must(c.name, "use_tracker " .. i, c.peer:use_tracker(i))
    look(load, c, view)
  end
  return view
end

local function sorted(v)
  if type(v) ~= "table" then return tostring(v) end
  local keys, out = {}, {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  for _, k in ipairs(keys) do out[#out + 1] = k .. "=" .. sorted(v[k]) end
  return "{" .. table.concat(out, " ") .. "}"
end

local function look_everywhere(load)
  local first
  for i in ipairs(load.lab.trackers) do
    local view = look_at(load, i)
    first = first or view
    for key in pairs(view) do
      local a, b = sorted(first[key]), sorted(view[key])
      if a ~= b then load:complain("trackers 1 and %d show other %s:\n%s\n%s", i, key, a, b) end
    end
  end
  first.conflicts, first.lacks = {}, {}
  for _, c in ipairs(load.clients) do
    first.conflicts[c.name] = must(c.name, "list_conflicts", c.peer:list_conflicts())
    first.lacks[c.name] = c.lacks
  end
  return first
end

-- Each who was told that he has a user name logs in with it and his password, whoever else has it.
local function check_users(load)
  for _, e in ipairs(load.history) do
    if e.op == "create_user" and e.outcome == "ok" then
      local peer = load.clients[e.client].peer
      peer:logout()
      local ok, err = peer:login(e.args[1], "pw-" .. e.client)
      if not ok then load:complain("%s made the user %s and cannot log in: %s", e.client, e.args[1], tostring(err)) end
    end
  end
end

-- -- the run

local function commands(load, nemesis, seconds)
  local deadline = proc.mono() + seconds
  while proc.mono() < deadline do
    nemesis:step()
    if not load:step(true, 0.1) then shoal.sleep(0.005) end
  end
end

local function summary(load, nemesis, agreed)
  local counts, faults = { ok = 0, fail = 0, unknown = 0 }, {}
  for _, e in ipairs(load.history) do counts[e.outcome] = counts[e.outcome] + 1 end
  for what, n in pairs(nemesis.counts) do faults[#faults + 1] = what .. "=" .. n end
  table.sort(faults)
  local slowest = 0
  for _, took in pairs(load.slowest) do slowest = math.max(slowest, took) end
  print(("# commands: %d ok, %d refused, %d unknown; the slowest took %.1f s"):format(counts.ok, counts.fail, counts.unknown, slowest))
  print("# faults: " .. table.concat(faults, " "))
  print(("# equal digests after %.2f s"):format(agreed))
  if counts.ok < #load.history / 10 then load:complain("hardly a command was done") end
  if slowest > ANSWER_SECONDS then load:complain("a command took %.1f s", slowest) end
end

-- A tracker may grow with what it holds, not with what it has been through.
local function check_memory(load)
  for i, tracker in ipairs(load.lab.trackers) do
    local mib = tracker:memory() / 1048576
    local allowed = 64 + #load.history / 100
    if mib > allowed and not (shoal.build_folder:find("san", 1, true)) then
      load:complain("tracker %d has %.0f MiB after %d commands", i, mib, #load.history)
    end
  end
end

local function run(t, seed)
  local lab = Lab.new(t, { trackers = number("CHAOS_TRACKERS", 3),
    clients = table.move(NAMES, 1, number("CHAOS_CLIENTS", 6), 1, {}) })
  local log = write_log(lab)
  local load, nemesis = Load.new(lab, log), Nemesis.new(lab, log, number("CHAOS_LONGEST", 3))
  load:open_hall()
  nemesis:begin()
  local ok, why = pcall(function()
    commands(load, nemesis, number("CHAOS_SECONDS", 8))
    nemesis:finish()
    quieten(t, load)
    local agreed = agree(lab)
    load:judge()
    summary(load, nemesis, agreed)
    local world = look_everywhere(load)
    for _, line in ipairs(check.run(load.history, world, lab.names)) do load:complain("%s", line) end
    check_users(load)
    check_memory(load)
  end)
  load:write(lab.cluster.dir .. "/history")
  if ok and #load.broken > 0 then ok, why = false, table.concat(load.broken, "\n") end
  if not ok then
    for i, tracker in ipairs(lab.trackers) do if nemesis.frozen[i] then tracker:thaw() end end
    error(("%s\nCHAOS_SEED=%d replays commands and faults; history, nemesis.log and logs are in %s"):format(why, seed,
      lab.cluster.dir), 0)
  end
  lab.net:close()
end

local seed = number("CHAOS_SEED", os.time() * 1000 % 2147483647 + math.random(1000))
T.case("the checker notices what is wrong", require("checker").test)

T.case("chaos", function(t)
  t.keep_failed = (os.getenv("CHAOS_KEEP") or "") ~= "no"
  print(("# seeds %d"):format(seed))
  math.randomseed(seed)
  run(t, seed)
end)
