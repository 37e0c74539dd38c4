-- Seeders that stop, die, are damaged or change; disks that are full: the download goes on, or says what it waits for.
local T = require "shoal.test"
local proc = require "shoal.proc"
local MiB = 1024 * 1024

local function shell(command)
  local p = proc.spawn({ "sh", "-c", command }, { capture = true })
  return p:wait(60) == 0
end

-- ann and the other seeders have `name`; dan wants it.
local function swarm(t, seeders, size)
  local c = t.cluster{ trackers = 1, plaintext = true, peers = { "ann", "dan" } }
  t.ok(c.ann:create_group("g"))
  for _, name in ipairs(seeders) do
    if name ~= "ann" then c:client(name) end
  end
  for _, name in ipairs{ "dan", table.unpack(seeders) } do
    if name ~= "ann" then
      t.ok(c[name]:join_group("g"))
      t.ok(c.ann:accept_request("g", name))
    end
  end
  local path = c:file("film", size)
  for _, name in ipairs(seeders) do
    -- each a file of its own, so that each can be damaged by itself
    local own = c[name].dir .. "/film"
    t.ok(shell(("cp %s %s"):format(path, own)))
    t.ok(c[name]:upload_file(own, "g"):wait(60))
  end
  return c, path
end

local function row(t, job, client)
  for _, peer in ipairs(t.ok(job:peers())) do
    if peer.address == client.addr or peer.user == client.user then return peer end
  end
end

local function done(t, job, path)
  local res = t.ok(job:wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  return res
end

T.case("one seeder of two is stopped: the other one finishes it, and the silent one is named", function(t)
  local c, path = swarm(t, { "ann", "ben" }, 64 * MiB)
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 8 and job.connected == 2 end, 20)
  c.ben:freeze()
  t.eventually(function() return row(t, job, c.ben).state == "snubbed" end, 20)
  t.match(job:explain(), "ben%): snubbed")
  t.eq(row(t, job, c.ben).strikes > 0, true)
  t.eq(job.state, "downloading")
  t.ok(job:limit(0))
  done(t, job, path)
  t.eq(job.bad_pieces, 0)
  c.ben:thaw()
end)

T.case("one seeder of two trickles: the other one finishes it, and the slow one is named; alone, it is said", function(t)
  local c, path = swarm(t, { "ann", "ben" }, 64 * MiB)
  t.ok(c.ben:limits{ up = 1024 })
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  local began, named = proc.mono(), false
  t.eventually(function()
    local ben = row(t, job, c.ben)
    named = named or (ben and ben.state == "slow")
    return named and job.pieces > 32
  end, 20)
  c.ann:freeze()
  t.eventually(function() return job:explain():find("every peer that is connected is slow", 1, true) or
    job:explain():find("every peer that has a lacking piece is silent", 1, true) end, 20)
  t.match(job:explain(), "ben%): %a+")
  c.ann:thaw()
  t.ok(job:limit(0))
  t.eq(done(t, job, path).bad_pieces, 0)
  t.eq(proc.mono() - began < 40, true)
end)

T.case("the only seeder is stopped: stalled, with the reason; it goes on when that returns", function(t)
  local c, path = swarm(t, { "ann" }, 64 * MiB)
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 8 end, 20)
  t.ok(job:limit(0))
  c.ann:freeze()
  t.eventually(function() return job.state == "stalled" end, 20)
  t.eq(job.error.code, "stalled")
  t.match(job:explain(), "^stalled: every peer that has a lacking piece is silent")
  t.eq(row(t, job, c.ann).state, "snubbed")
  c.ann:thaw()
  done(t, job, path)
  t.eq(job.bad_pieces, 0)
end)

T.case("the only seeder dies: stalled, no_seeder; it goes on when that returns", function(t)
  local c, path = swarm(t, { "ann" }, 64 * MiB)
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 8 end, 20)
  c.ann:kill()
  t.eventually(function() return job.state == "stalled" end, 20)
  t.eq(job.error.code, "no_seeder")
  t.match(job:explain(), "^stalled: nobody who is online")
  t.ok(job:limit(0))
  local pieces = job.pieces
  c.ann:start()
  done(t, job, path)
  t.eq(pieces > 8 and job.twice < 16 * 512 * 1024, true)
end)

-- The bytes of a share change and nothing else: as a disk does it that lies.
local function damage(t, client, offset, length)
  t.ok(shell(("cd %s && touch -r film keep && dd if=/dev/urandom of=film bs=65536 seek=%d count=%d conv=notrunc 2>/dev/null " ..
    "&& touch -r keep film"):format(client.dir, offset // 65536, length // 65536)))
end

T.case("damaged pieces are counted and their giver is named; the file comes from others", function(t)
  local c, path = swarm(t, { "ann", "ben" }, 32 * MiB)
  damage(t, c.ben, 0, 32 * MiB)
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.bad_pieces == 2 end, 20)
  t.eventually(function() return row(t, job, c.ben).state == "dropped" end, 20)
  t.eq(row(t, job, c.ben).bad_pieces, 2)
  t.eq(row(t, job, c.ann).bad_pieces, 0)
  t.match(job:explain(), "ben%): dropped: sent two damaged pieces, and is not asked again for")
  t.ok(job:limit(0))
  t.eq(done(t, job, path).bad_pieces, 2)
end)

T.case("a file that changes at the seeder is not served any more; the tracker and the leecher know", function(t)
  local c, path = swarm(t, { "ann", "ben" }, 64 * MiB)
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 8 and job.connected == 2 end, 20)
  t.ok(shell(("echo x >> %s/film"):format(c.ben.dir)))
  t.eventually(function() return job.connected == 1 end, 20)
  t.eventually(function() return t.ok(c.ann:list_files("g"))[1].seeders == 1 end, 20)
  t.ok(job:limit(0))
  done(t, job, path)
  t.eq(job.bad_pieces, 0)
end)

T.case("a file that is cut short at the only seeder: it is said, and goes on with another one", function(t)
  local c, path = swarm(t, { "ann" }, 16 * MiB) -- soon hashed: nobody shares it meanwhile
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { limit = 8 * MiB })
  t.eventually(function() return job.pieces > 8 end, 20)
  t.ok(shell(("truncate -s 1M %s/film"):format(c.ann.dir)))
  t.eventually(function() return job.state == "stalled" end, 20)
  t.eq(job.error.code, "no_seeder")
  t.ok(job:limit(0))
  t.ok(c.ann:upload_file(path, "g"):wait(60)) -- whole again, from elsewhere
  done(t, job, path)
  t.eq(job.bad_pieces, 0)
end)

-- A client in a mount namespace of its own, with a small disk at DIR/disk. The folder as it sees it, from outside.
local function with_small_disk(t, c, name, megabytes)
  local client = c:client(name)
  local disk = client.dir .. "/disk"
  client:stop()
  proc.mkdir(disk)
  client.launch_client = function(self)
    self:launch{ "unshare", "-rm", "sh", "-c", ("mount -t tmpfs -o size=%dm none %s && exec %s --control %s --no-input " ..
      "--auto-login=yes --plaintext --data %s/data --log-file %s 127.0.0.1:0 %s"):format(megabytes, disk,
      shoal.build_folder .. "/shoal", self.socket, self.dir, self.log, self.cluster:info_for(self.name)) }
  end
  client:start()
  return client, disk, ("/proc/%d/root%s"):format(client.process:pid(), disk)
end

T.case("a full disk: it waits for room, says so, and nothing is corrupt", function(t)
  if not shell("unshare -rm true") then t.skip("no namespaces of one's own here") end
  local c, path = swarm(t, { "ann" }, 24 * MiB)
  local eve, disk, inside = with_small_disk(t, c, "eve", 32)
  t.ok(eve:join_group("g"))
  t.ok(c.ann:accept_request("g", "eve"))
  -- at the start
  t.ok(shell(("head -c 16M /dev/zero > %s/filler"):format(inside)))
  local job = eve:download_file("g", "film", disk .. "/first", { keep_sharing = false })
  t.eventually(function() return job.state == "stalled" end, 20)
  t.eq(job.error.code, "disk_full")
  t.match(job:explain(), "^stalled: .*[Nn]o space left")
  t.ok(shell(("rm %s/filler"):format(inside)))
  t.eq(t.ok(job:wait(30)).bytes, 24 * MiB)
  t.eq(shoal.hash(inside .. "/first"), shoal.hash(path))
  t.ok(shell(("rm %s/first"):format(inside)))
  -- in the middle: somebody else takes the room that was free at the start
  job = eve:download_file("g", "film", disk .. "/second", { keep_sharing = false, limit = 8 * MiB })
  t.eventually(function() return job.pieces > 4 end, 20)
  shell(("head -c 24M /dev/zero > %s/filler"):format(inside)) -- as much as there is
  t.ok(job:limit(0))
  t.eventually(function() return job.state == "stalled" end, 20)
  t.eq(job.error.code, "disk_full")
  t.match(job:explain(), "nothing is asked for until there is room on the disk")
  t.ok(shell(("rm %s/filler"):format(inside)))
  if not job:wait(10) then error(job:explain()) end
  t.eq(job.bad_pieces, 0)
  t.eq(shoal.hash(inside .. "/second"), shoal.hash(path))
end)
