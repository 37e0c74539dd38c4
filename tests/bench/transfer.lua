-- One measurement of shoal: PATH, a file or a folder, from SEEDERS clients to LEECHERS clients at once.
--   shoal --test tests/bench/transfer.lua -- PATH [plain|tls|plain-pieces|tls-pieces] [SEEDERS] [LEECHERS] [VARIANT]
-- (-pieces: verify="pieces", without the whole-file hash)
-- Prints RESULT key=value...: seconds until the last leecher has it verified, seconds of the last upload_file, CPU
-- seconds of all seeders and all leechers together, the largest anonymous memory of one of each, and what part each seeder
-- gave, in percent. What was received is compared with PATH after the clock has stopped.
-- BENCH_NET=1: in the namespaces of net.sh, the n-th client in p<n>. VARIANT "stopped": the last leecher is stopped
-- half-way, and not waited for; net.sh gave the one before it a slow link, and that one is not waited for either.
local T = require "shoal.test"
local proc = require "shoal.proc"

local path, mode, nseeders, nleechers = arg[1], arg[2] or "tls", tonumber(arg[3] or "1"), tonumber(arg[4] or "1")
local stopped = arg[5] == "stopped"
local opts = mode:find("-pieces", 1, true) and { verify = "pieces" } or nil
local in_net = (os.getenv("BENCH_NET") or "") ~= ""
local SECONDS = 110

local function run(argv)
  local p = proc.spawn(argv, { capture = true })
  local code = p:wait(SECONDS)
  return code == 0, p:output(), p:errors()
end

local function files_in(folder)
  local names, base = {}, {}
  if shoal.glob(folder .. "/*")[1] == nil then return { folder }, { folder:match("[^/]+$") } end
  for _, f in ipairs(shoal.glob(folder .. "/*")) do names[#names + 1], base[#base + 1] = f, f:match("[^/]+$") end
  return names, base
end

local function add_clients(c, prefix, count, from)
  local list = {}
  for i = 1, count do
    local n = from + i
    list[i] = c:client(prefix .. i, in_net and { before = { "nsenter", "--net=/run/netns/p" .. n },
      listen = ("10.77.1.%d:0"):format(n) } or nil)
  end
  return list
end

local function share(c, seeders, leechers, paths)
  local first, up = seeders[1]
  for _, list in ipairs{ seeders, leechers } do
    for _, client in ipairs(list) do
      if client ~= first then
        assert(client:join_group("g"))
        assert(first:accept_request("g", client.name))
      end
    end
  end
  for _, client in ipairs(seeders) do
    local jobs = {}
    for i, p in ipairs(paths) do jobs[i] = client:upload_file(p, "g") end
    for _, job in ipairs(jobs) do up = assert(job:wait(SECONDS)) end
  end
  return up.seconds
end

local function start_meter(seeders, leechers)
  local argv = { shoal.build_folder .. "/tests/bench/meter" }
  for _, s in ipairs(seeders) do argv[#argv + 1] = "seeder=" .. s.process:pid() end
  for _, l in ipairs(leechers) do argv[#argv + 1] = "leecher=" .. l.process:pid() end
  local meter = proc.spawn(argv, { capture = true })
  while meter:alive() and meter:output() == "" do shoal.sleep(0.005) end
  return meter
end

local function read_meter(meter)
  meter:kill(15)
  assert(meter:wait(10) == 0, meter:errors())
  return meter:output():match("ready\n([^\n]*)")
end

-- All files at all leechers; those who are waited for come first.
local function fetch(leechers, names, waited)
  local posts, jobs = {}, {}
  for i, l in ipairs(leechers) do
    posts[i] = {}
    for k, name in ipairs(names) do posts[i][k] = l:post("download_file", "g", name, l.dir .. "/got/", opts) end
  end
  for i, l in ipairs(leechers) do
    jobs[i] = {}
    for k, id in ipairs(posts[i]) do jobs[i][k] = assert(l:take(id)) end
  end
  if stopped then
    local last = leechers[#leechers]
    local half = jobs[#leechers][1].total // 2
    local deadline = proc.mono() + SECONDS
    while jobs[#leechers][1].bytes < half and proc.mono() < deadline do shoal.sleep(0.01) end
    last:freeze()
  end
  local ids = {}
  for i = 1, waited do ids[i] = leechers[i]:post("wait_all", jobs[i], SECONDS) end
  for i = 1, waited do assert(leechers[i]:take(ids[i])) end
end

-- One leecher and several seeders: waits for the job, and gives what part of the pieces came from each, in percent, as
-- counted some milliseconds before the end.
local function wait_and_count(job)
  local peers, parts, all = {}, {}, 0
  while true do
    local result, err = job:wait(0.05)
    if result then break end
    if err.code ~= "timeout" then error(tostring(err), 0) end
    local now = job:peers() or {}
    if #now > 0 then peers = now end
  end
  for _, p in ipairs(peers) do all = all + p.pieces end
  for i, p in ipairs(peers) do parts[i] = ("%.0f"):format(100 * p.pieces / math.max(all, 1)) end
  return table.concat(parts, ",")
end

T.case("transfer", function(t)
  local c = t.cluster{ trackers = 1, plaintext = mode:find("^plain") ~= nil, host = in_net and "10.77.0.1" or nil }
  local paths, names = files_in(path)
  local seeders = add_clients(c, "seeder", nseeders, 0)
  t.ok(seeders[1]:create_group("g"))
  local leechers = add_clients(c, "leecher", nleechers, nseeders)
  local upload = share(c, seeders, leechers, paths)
  local waited = stopped and nleechers - 2 or nleechers
  local meter = start_meter(seeders, leechers)
  local t0 = proc.mono()
  local shares = ""
  if #names == 1 and nseeders > 1 and nleechers == 1 then
    shares = wait_and_count(leechers[1]:download_file("g", names[1], leechers[1].dir .. "/got/", opts))
  else
    fetch(leechers, names, waited)
  end
  local took = proc.mono() - t0
  local used = read_meter(meter)
  if stopped then leechers[#leechers]:thaw() end
  for i = 1, waited do
    local got = leechers[i].dir .. "/got/"
    local same, _, why = run{ "diff", "-rq", path, #names == 1 and got .. names[1] or got }
    t.ok(same, why)
  end
  io.write(("RESULT seconds=%.3f upload=%.3f %s shares=%s\n"):format(took, upload, used, shares))
end)
