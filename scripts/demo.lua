-- The main job, for real: two trackers, three clients, one tracker killed in mid-download.
-- usage: make demo [FILE=/path], which runs: shoal --test scripts/demo.lua -- FILE
local T = require "shoal.test"
local proc = require "shoal.proc"

local file = assert(arg and arg[1], "usage: shoal --test scripts/demo.lua -- FILE")
local name = file:match("[^/]+$")
local n = 0

local function say(fmt, ...)
  n = n + 1
  io.write(("%2d  "):format(n), fmt:format(...), "\n")
  io.flush()
end

local function sha256sum(path)
  local p = assert(proc.spawn({ "sha256sum", "--", path }, { capture = true }))
  assert(p:wait(300) == 0, "sha256sum failed")
  return p:output():match("^\\?(%x+)")
end

-- Shows progress lines until all jobs have ended; calls on_half at the first progress past 50 %.
local function watch(jobs, on_half)
  local shown, half = {}, false
  while true do
    local busy = false
    for who, job in pairs(jobs) do
      local state, done, total = job.state, job.bytes, job.total
      local percent = total > 0 and done * 100 // total or 0
      if percent >= (shown[who] or 0) + 25 and state ~= "done" then
        shown[who] = percent // 25 * 25
        io.write(("      %-5s  %3d%%  %s/%s  %s\n"):format(who, percent, shoal.fmt.bytes(done), shoal.fmt.bytes(total),
          shoal.fmt.rate(job.rate)))
        io.flush()
      end
      if percent > 50 and not half then
        half = true
        on_half(who)
      end
      if state == "failed" or state == "cancelled" then return end
      busy = busy or state ~= "done"
    end
    if not busy then return end
    shoal.sleep(0.05)
  end
end

T.case("demo", function(t)
  local began = proc.mono()
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob", "carol" } }
  for _, who in ipairs { "alice", "bob", "carol" } do t.ok(c[who]:use_tracker(1)) end
  say("two trackers (%s, %s) and three clients run, all on this machine", c.trackers[1].addr, c.trackers[2].addr)

  t.ok(c.alice:create_group("team"))
  local up = t.ok(c.alice:upload_file(file, "team"):wait(600))
  say("alice made the group 'team' and shares '%s' (%s), hashed in %.2f s", name, shoal.fmt.bytes(up.bytes), up.seconds)

  for _, who in ipairs { "bob", "carol" } do
    t.ok(c[who]:join_group("team"))
    t.ok(c.alice:accept_request("team", who))
  end
  say("bob and carol asked to join, alice accepted them; they download at the same time, 32 MiB/s each:")

  local jobs = {}
  for _, who in ipairs { "bob", "carol" } do
    jobs[who] = c[who]:download_file("team", name, c[who].dir .. "/downloads/", { limit = "32M" })
  end
  local killed
  watch(jobs, function(who)
    c.trackers[1]:kill()
    killed = true
    say("%s was past 50 %%: tracker 1 was killed (kill -9); the downloads go on", who)
  end)
  if not killed then error("the downloads ended before tracker 1 could be killed") end

  local results = {}
  for _, who in ipairs { "bob", "carol" } do
    local res = t.ok(jobs[who]:wait(600))
    results[who] = res
    say("%s has it: %s in %.1f s from %d sources, %d bad pieces", who, shoal.fmt.bytes(res.bytes), res.seconds, res.sources,
      res.bad_pieces)
  end

  t.eventually(function()
    local files = c.bob:list_files("team")
    return files and files[1] and files[1].seeders == 3
  end, 20)
  say("through tracker 2, bob lists '%s' with 3 seeders", name)
  local second = c:file("second.bin", 3 * 524288 + 17)
  t.ok(c.carol:upload_file(second, "team"):wait(60))
  local res = t.ok(c.alice:download_file("team", "second.bin", c.alice.dir .. "/downloads/"):wait(60))
  t.eq(sha256sum(res.path), sha256sum(second))
  say("through tracker 2, carol uploaded a second file and alice fetched it")

  local want = sha256sum(file)
  for _, who in ipairs { "bob", "carol" } do t.eq(sha256sum(results[who].path), want) end
  say("sha256sum agrees for all three copies: %s", want)

  for _, who in ipairs { "alice", "bob", "carol" } do c[who]:stop() end
  c.trackers[2]:stop()
  say("everything stopped cleanly; it all took %.1f s", proc.mono() - began)
end)
