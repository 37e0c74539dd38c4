-- Somebody who means no good, on raw sockets and with encoders of his own (tests/adversary), against real trackers and a
-- real seeder. Each line that he prints is something that must hold.
local T = require "shoal.test"
local proc = require "shoal.proc"

local PIECE = 524288
local program = shoal.build_folder .. "/tests/adversary/adversary"

local function attack(c, case, ...)
  local p = assert(proc.spawn({ program, case, "tracker=" .. c.trackers[1].addr, "key=" .. c.dir .. "/cluster.key", ... },
    { capture = true }))
  local code = assert(p:wait(120), case .. " did not end")
  local said = p:output()
  for line in said:gmatch("[^\n]+") do
    if line:find("^#") then print(line) end
    if line:find("^not ok") then print("# " .. case .. ": " .. line) end
  end
  if code ~= 0 then error(("%s: code %d: %s%s"):format(case, code, said:match("not ok[^\n]*") or "no reason", p:errors())) end
  local _, n = said:gsub("%f[^\n\0]ok %-", "")
  if n == 0 then error(case .. " has checked nothing") end
end

-- alice shares song in team, which mallory has asked to join, and secret in other.
local function scene(t, opts)
  opts = opts or {}
  opts.peers = { "alice", "bob" }
  local c = t.cluster(opts)
  t.ok(c.alice:create_group("team"))
  t.ok(c.alice:create_group("other"))
  t.ok(c.bob:join_group("team"))
  t.ok(c.alice:accept_request("team", "bob"))
  c.song = c:file("song", 20 * PIECE)
  t.ok(c.alice:upload_file(c.song, "team"):wait(30))
  t.ok(c.alice:upload_file(c:file("secret", PIECE), "other"):wait(30))
  return c
end

local function with_mallory(t, c)
  local m = c:client("mallory", { password = "m" })
  t.ok(m:join_group("team"))
  t.ok(c.alice:accept_request("team", "mallory"))
  m:stop()
end

-- Everything still works for those who belong here.
local function still_works(t, c)
  local res = t.ok(c.bob:download_file("team", "song", c.bob.dir .. "/got"):wait(30))
  t.eq(shoal.hash(res.path), shoal.hash(c.song))
end

T.case("a tracker's port: the door, strangers, others' groups and sessions", function(t)
  local c = scene(t)
  attack(c, "door")
  attack(c, "strangers")
  attack(c, "others")
  attack(c, "tokens")
  attack(c, "sync")
  still_works(t, c)
end)

T.case("names and metadata that cannot be", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  attack(c, "names")
  attack(c, "metadata")
end)

T.case("a seeder's port: tickets and requests", function(t)
  local c = scene(t)
  with_mallory(t, c)
  attack(c, "tickets")
  attack(c, "requests")
  still_works(t, c)
end)

T.case("who asks for the same pieces again and again is hung up on", function(t)
  local c = scene(t)
  with_mallory(t, c)
  attack(c, "overask")
  still_works(t, c)
end)

T.case("a member who was removed a moment ago gets nothing more from who is online", function(t)
  local c = scene(t)
  with_mallory(t, c)
  attack(c, "removed")
  still_works(t, c)
end)

local function sh(text, ...)
  local p = assert(proc.spawn({ "/bin/sh", "-ec", text, "sh", ... }, { capture = true }))
  local code = p:wait(20)
  if code ~= 0 then error(("%s: %s"):format(text, p:errors())) end
end

T.case("links are followed neither where a file is fetched nor where it is served", function(t)
  local c = scene(t)
  local victim = c:file("victim", 20 * PIECE, 77) -- as large as the song, of other bytes
  local was = shoal.hash(victim)
  local function plant(name)
    local dest = c.bob.dir .. "/" .. name
    proc.mkdir(c.bob.dir .. "/" .. name:match("^[^/]*"))
    return dest
  end
  for _, trap in ipairs{ "", ".part", ".part.state" } do -- all names that a download writes to
    local dest = plant("links" .. #trap .. "/song")
    sh('ln -s "$1" "$2"', victim, dest .. trap)
    local job = c.bob:download_file("team", "song", dest)
    if job and job:wait(30) then t.eq(shoal.hash(dest), shoal.hash(c.song)) end
    t.eq(shoal.hash(victim), was, "written through " .. trap)
  end
  -- at the seeder: the song is now a link to something that nobody has shared
  sh('mv "$1" "$1.away" && ln -s "$2" "$1"', c.song, victim)
  local dest = plant("after") .. "/song"
  local job = c.bob:download_file("team", "song", dest, { timeout = "6s" })
  if job and job:wait(20) then t.eq(shoal.hash(dest), shoal.hash(c.song .. ".away")) end
  local f = io.open(dest .. ".part")
  if f then
    local theirs = assert(io.open(victim)):read(PIECE)
    if f:read("a"):find(theirs, 1, true) then error("what the link points to was served") end
    f:close()
  end
end)

-- Small: the numbers are measured with more (docs/security.md).
T.case("connections that say nothing, requests that nobody reads: others are served", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  attack(c, "loris", "n=500", "seconds=2")
  attack(c, "half-open", "n=500", "seconds=2")
  attack(c, "flood", "seconds=2")
end)

T.case("no descriptors left: who is there is served, newcomers come in again", function(t)
  local c = t.cluster{ trackers = 1, start = 0, peers = {} }
  c.trackers[1].before = { "/bin/sh", "-c", 'ulimit -n 150; exec "$@"', "sh" }
  c.trackers[1]:start()
  attack(c, "starve", "n=600", "seconds=2")
end)

T.case("hardly any memory left: who is there is served, newcomers come in again", function(t)
  local c = t.cluster{ trackers = 1, start = 0, peers = {} }
  if (os.getenv("ASAN_OPTIONS") or os.getenv("SHOAL_BUILD") or ""):find("san") then t.skip("a sanitizer needs all addresses") end
  -- one heap: the C library reserves 64 MB of addresses for each thread's own when that first needs one
  c.trackers[1].before = { "/usr/bin/env", "MALLOC_ARENA_MAX=1" }
  c.trackers[1]:start()
  local status = assert(io.open(("/proc/%d/status"):format(c.trackers[1].process:pid()))):read("a")
  c.trackers[1]:kill()
  -- 150 MB more than it has at its start are 80 % of what it may have
  local most = (tonumber(status:match("VmSize:%s*(%d+)")) + 150000) * 5 // 4
  c.trackers[1].before = { "/bin/sh", "-c", ('ulimit -n 8192; ulimit -v %d; exec "$@"'):format(most), "sh", "/usr/bin/env", "MALLOC_ARENA_MAX=1" }
  c.trackers[1]:start()
  attack(c, "starve", "n=5000", "seconds=4")
  local log = assert(io.open(c.trackers[1].log)):read("a")
  t.match(log, "80 %% of the memory that this process may have is in use")
end)

T.case("guessing is slow, and the owner comes in", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  attack(c, "guess", "n=2000")
end)

T.case("a tracker with another key is told nothing, and tells nothing", function(t)
  local c = t.cluster{ trackers = 2, start = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("team"))
  local rogue = c.trackers[2]
  local code, err = proc.spawn({ shoal.build_folder .. "/shoal-tracker", "--new-cluster-key", "--cluster-key", c.dir .. "/rogue.key" },
    { capture = true }):wait(20)
  t.eq(code, 0, err)
  local key = c.dir .. "/cluster.key"
  os.rename(key, c.dir .. "/good.key")
  os.rename(c.dir .. "/rogue.key", key)
  rogue:start()
  t.eventually(function()
    local log = assert(io.open(c.trackers[1].log)):read("a")
    return log:find("another cluster", 1, true) or log:find("not a tracker of this cluster", 1, true)
  end, 20)
  for _, row in ipairs(t.ok(c.alice:trackers())) do
    if row.id == 2 and row.state == "connected" then error("the rogue is connected") end
  end
end)
