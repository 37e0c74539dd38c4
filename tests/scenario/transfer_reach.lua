-- Peers that cannot be dialled: the tracker has them dial, also when it is another tracker that they are connected to; if
-- that is in vain too, the job says so, and takes from others.
local T = require "shoal.test"
local MiB = 1024 * 1024

-- Who cannot be reached tells the trackers an address at which nobody answers: what a firewall does that refuses.
local function unreachable(c)
  return { "--announce", "127.0.0.1:" .. c:free_ports(1)[1] }
end

-- ann has it and is connected to tracker 1, dan to tracker 2 and wants it, ben to tracker 3; each knows one tracker only.
local function swarm(t, who_is_unreachable, seeders)
  local c = t.cluster{ trackers = 3, plaintext = true }
  for i, name in ipairs{ "ann", "dan", "ben" } do
    c:client(name, { trackers = { i }, args = who_is_unreachable[name] and unreachable(c) or nil })
  end
  t.ok(c.ann:create_group("g"))
  for _, name in ipairs{ "dan", "ben" } do
    t.eventually(function() return c[name]:join_group("g") end, 20) -- the group has arrived at that tracker
    t.eventually(function() return c.ann:accept_request("g", name) end, 20)
  end
  local path = c:file("film", 8 * MiB + 17)
  for _, name in ipairs(seeders) do
    t.eventually(function() return #(c[name]:list_files("g", { all = true }) or {}) == (name == "ann" and 0 or 1) end, 20)
    t.ok(c[name]:upload_file(path, "g"):wait(60))
  end
  t.eventually(function()
    local files = c.dan:list_files("g")
    return files and files[1] and files[1].seeders == #seeders
  end, 20)
  return c, path
end

local function row(t, job, user)
  for _, peer in ipairs(t.ok(job:peers())) do
    if peer.user == user then return peer end
  end
end

T.case("who cannot be dialled is asked to dial, by the tracker that it is connected to", function(t)
  local c, path = swarm(t, { ann = true }, { "ann" })
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/")
  t.eq(shoal.hash(t.ok(job:wait(30)).path), shoal.hash(path))
  t.eq(job.sources, 1)
end)

T.case("if neither can dial the other, the job says so and takes from others; alone, it says what it waits for", function(t)
  local c, path = swarm(t, { ann = true, dan = true }, { "ann" })
  local job = c.dan:download_file("g", "film", c.dan.dir .. "/", { wait_for_seeder = 120 })
  t.eventually(function() return job.state == "stalled" and row(t, job, "ann").state == "unreachable" end, 30)
  t.match(job:explain(), "ann%): unreachable: it cannot be dialled, and has not dialled us, which")
  t.eq(job.error.code, "no_seeder")
  t.eventually(function() return #(c.ben:list_files("g") or {}) == 1 end, 20)
  t.ok(c.ben:upload_file(path, "g"):wait(60))
  t.eq(shoal.hash(t.ok(job:wait(30)).path), shoal.hash(path))
  t.eq(row(t, job, "ann") == nil or row(t, job, "ann").pieces == 0, true)
end)
