-- alone: it measures rates to 5 %.
-- Limits to 5 % over 3 s, places for jobs, pause, resume and cancel, the order of pieces.
local T = require "shoal.test"
local proc = require "shoal.proc"
local MiB = 1024 * 1024

-- Alice seeds, the others may download.
local function group(t, ...)
  local c = t.cluster{ trackers = 1, plaintext = true, peers = { "alice", ... } }
  t.ok(c.alice:create_group("g"))
  for _, name in ipairs{ ... } do
    t.ok(c[name]:join_group("g"))
    t.ok(c.alice:accept_request("g", name))
  end
  return c
end

local function share(t, c, name, size)
  local path = c:file(name, size)
  t.ok(c.alice:upload_file(path, "g"):wait(60))
  return path
end

local function took(t, job, path)
  local res = t.ok(job:wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  return res.seconds
end

-- `seconds` are what `bytes` need at `rate`, to 5 %; a machine that is busy can only make it later.
local function kept(bytes, rate, seconds)
  local want = bytes / rate
  print(("# %.3f s where %.3f s were wanted (%+.1f %%)"):format(seconds, want, (seconds / want - 1) * 100))
  if seconds < want * 0.95 then error(("faster than the limit: %.3f s, not %.3f s"):format(seconds, want), 2) end
  return seconds <= want * 1.05
end

-- Of three tries one may not be late: too early is never forgiven.
local function to_5_percent(bytes, rate, run)
  for try = 1, 3 do
    if kept(bytes, rate, run(try)) then return end
  end
  error("later than the limit wants, three times", 2)
end

T.case("a job's limit", function(t)
  local c = group(t, "bob")
  local path = share(t, c, "song", 6 * MiB)
  to_5_percent(6 * MiB, 2 * MiB, function(n)
    return took(t, c.bob:download_file("g", "song", ("%s/%d"):format(c.bob.dir, n), { limit = 2 * MiB, keep_sharing = false }),
      path)
  end)
end)

T.case("limits{down=} holds for all jobs together", function(t)
  local c = group(t, "bob")
  local path, other = share(t, c, "song", 6 * MiB), share(t, c, "more", 6 * MiB)
  t.eq(t.ok(c.bob:limits{ down = 4 * MiB }).down, 4 * MiB)
  to_5_percent(12 * MiB, 4 * MiB, function(n)
    local began = proc.mono()
    local a = c.bob:download_file("g", "song", ("%s/a%d"):format(c.bob.dir, n), { keep_sharing = false })
    local b = c.bob:download_file("g", "more", ("%s/b%d"):format(c.bob.dir, n), { keep_sharing = false })
    t.eventually(function() return a.pieces > 2 end, 20)
    t.match(a:explain(), "held back by the limit of 4.0 MiB/s for all downloads")
    took(t, a, path)
    took(t, b, other)
    return proc.mono() - began
  end)
end)

T.case("limits{up=} holds for all who are served", function(t)
  local c = group(t, "bob", "carol")
  local path, other = share(t, c, "song", 6 * MiB), share(t, c, "more", 6 * MiB)
  t.ok(c.alice:limits{ up = 4 * MiB })
  to_5_percent(12 * MiB, 4 * MiB, function(n)
    local began = proc.mono()
    local a = c.bob:download_file("g", "song", ("%s/a%d"):format(c.bob.dir, n), { keep_sharing = false })
    local b = c.carol:download_file("g", "more", ("%s/b%d"):format(c.carol.dir, n), { keep_sharing = false })
    took(t, a, path)
    took(t, b, other)
    return proc.mono() - began
  end)
end)

-- Both come over one connection: to hold back the one by not reading would hold back the other.
T.case("a limited job does not slow another one on the same connection", function(t)
  local c = group(t, "bob")
  local slow, fast = share(t, c, "slow", 4 * MiB), share(t, c, "fast", 48 * MiB)
  local limited = c.bob:download_file("g", "slow", c.bob.dir .. "/slow", { limit = 1 * MiB })
  t.eventually(function() return limited.pieces > 0 end, 20)
  local seconds = took(t, c.bob:download_file("g", "fast", c.bob.dir .. "/fast"), fast)
  print(("# 48 MiB beside a job of 1 MiB/s: %.3f s"):format(seconds))
  t.eq(limited.state, "downloading") -- 4 s: it is not over yet
  if limited.pieces > 6 then error(("%d pieces of 8 are there already"):format(limited.pieces)) end
  kept(4 * MiB, 1 * MiB, took(t, limited, slow))
end)

T.case("a limit is set and lifted while it runs", function(t)
  local c = group(t, "bob")
  local path = share(t, c, "song", 16 * MiB)
  local job = c.bob:download_file("g", "song", c.bob.dir .. "/song", { limit = 256 * 1024 })
  t.eventually(function() return job.pieces > 0 end, 20)
  t.match(job:explain(), "limit of 256.0 KiB/s")
  t.ok(job:limit(0))
  local seconds = took(t, job, path)
  if seconds > 20 then error("the limit of 64 s was not lifted") end
end)

-- A slow download is no silent peer: nobody is accused, nothing is fetched twice.
T.case("16 KiB a second", function(t)
  local c = group(t, "bob")
  share(t, c, "song", 2 * MiB)
  local job = c.bob:download_file("g", "song", c.bob.dir .. "/song", { limit = 16 * 1024 })
  t.eventually(function() return job.pieces > 0 end, 20)
  local until_s = proc.mono() + 5 -- longer than a silence may be
  t.eventually(function()
    t.eq(job.state, "downloading")
    local peers = t.ok(job:peers())
    t.eq(#peers, 1)
    t.eq(peers[1].strikes, 0)
    if peers[1].state == "snubbed" then error("who is not asked is not silent") end
    return proc.mono() > until_s
  end, 20)
  if job.pieces > 2 then error("faster than the limit") end
  t.ok(job:cancel())
end)

T.case("at most so many jobs at once, the rest wait in order; a paused one gives its place", function(t)
  local c = group(t, "bob")
  local names = {}
  for i = 1, 20 do
    names[i] = share(t, c, ("f%02d"):format(i), MiB)
  end
  local jobs = {}
  for i = 1, 20 do jobs[i] = c.bob:download_file("g", ("f%02d"):format(i), c.bob.dir .. "/", { limit = 64 * 1024 }) end
  local function count(state)
    local n = 0
    for _, job in ipairs(jobs) do n = n + (job.state == state and 1 or 0) end
    return n
  end
  t.eventually(function() return count("downloading") == 16 end, 20)
  t.eq(count("queued"), 4)
  t.eq(jobs[17].state, "queued")
  t.match(jobs[17]:explain(), "queued: 16 other jobs run")
  t.ok(jobs[3]:pause())
  t.eq(jobs[3].state, "paused")
  t.match(jobs[3]:explain(), "^paused: by the user")
  t.eventually(function() return jobs[17].state == "downloading" end, 20) -- the oldest that waits
  t.eq(count("queued"), 3)
  t.ok(jobs[4]:cancel())
  t.eventually(function() return jobs[18].state == "downloading" end, 20)
  t.ok(jobs[3]:resume())
  t.eq(jobs[3].state, "queued")
  for i = 1, 20 do t.ok(jobs[i]:limit(0)) end
  for i = 1, 20 do
    if i ~= 4 then t.eq(shoal.hash(t.ok(jobs[i]:wait(60)).path), shoal.hash(names[i])) end
  end
  t.eq(jobs[4].state, "cancelled")
  t.eq(io.open(c.bob.dir .. "/f04.part"), nil)
end)

T.case("paused, nothing comes; resumed, nothing comes twice", function(t)
  local c = group(t, "bob")
  local path = share(t, c, "song", 24 * MiB)
  local job = c.bob:download_file("g", "song", c.bob.dir .. "/song", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 4 end, 20)
  t.ok(job:pause())
  t.eq(job.state, "paused")
  local settled = proc.mono() + 1
  local pieces
  t.eventually(function() -- what is under way may still come
    pieces = job.pieces
    return proc.mono() > settled
  end, 20)
  settled = proc.mono() + 1
  t.eventually(function()
    t.eq(job.pieces, pieces)
    return proc.mono() > settled
  end, 20)
  t.ok(job:resume())
  took(t, job, path)
  t.eq(job.twice, 0)
  t.eq(job.bad_pieces, 0)
end)

-- The verified pieces of a sequential download are always the first ones: as much of the part file is right.
T.case("verify = pieces", function(t)
  local c = group(t, "bob")
  local path = share(t, c, "song", 16 * MiB + 1)
  took(t, c.bob:download_file("g", "song", c.bob.dir .. "/song", { verify = "pieces" }), path)
  local _, err = c.bob:download_file("g", "song", c.bob.dir .. "/other", { verify = "nothing" })
  t.match(tostring(err), "all|pieces")
end)

T.case("sequential order", function(t)
  local c = group(t, "bob")
  local path = share(t, c, "song", 16 * MiB)
  local original = assert(io.open(path, "rb")):read("a")
  local job = c.bob:download_file("g", "song", c.bob.dir .. "/song", { limit = 4 * MiB, order = "sequential" })
  t.eventually(function()
    local n = job.pieces * 512 * 1024
    local part = io.open(c.bob.dir .. "/song.part", "rb")
    if part and n > 0 and n < #original then
      t.eq(part:read(n) == original:sub(1, n), true, "the first " .. n .. " bytes")
      part:close()
    end
    return job.pieces >= 16
  end, 30)
  took(t, job, path)
end)
