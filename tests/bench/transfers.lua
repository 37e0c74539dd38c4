-- make bench: the cases of docs/performance.md, contenders alternating within a case (run.sh calls this).
--   shoal --test tests/bench/transfers.lua -- FOLDER JSON [CASE...]
-- FOLDER has room for the files; JSON is where the result goes. Environment: ROUNDS, SIZE (bytes, for all cases).
-- A contender is a program that prints RESULT key=value...: limit.c, transfer.lua for shoal, and an adapter of peers/
-- for each other tool, used if it is installed. The run fails if shoal or the limit program does, if what arrived is not
-- what was sent, if the limit program is slower than hashing on this machine allows, or shoal slower than half of it (A).
local T = require "shoal.test"
local proc = require "shoal.proc"
local report = require "bench_report"

local folder, json_path = arg[1], arg[2]
local build, here = shoal.build_folder, "tests/bench"
local PER_RUN = 120 -- seconds, the preparation and comparing included
local MIB, GIB = 1 << 20, 1 << 30
local VALID = 1.7   -- the limit program may take so many times what the hashing alone takes on all cores

local function command(argv, seconds)
  local p = proc.spawn(argv, { capture = true })
  local code = p:wait(seconds or PER_RUN)
  if code == nil then
    p:kill(15) -- adapters end what they started
    if p:wait(5) == nil then p:kill(9) p:wait(5) end
    return nil, "not done in time", ""
  end
  return code == 0, p:errors(), p:output()
end

local function shell(line) return command{ "sh", "-c", line } end

local function work_folder()
  proc.remove_tree(folder .. "/work")
  proc.mkdir(folder .. "/work")
  return folder .. "/work"
end

-- -- the contenders: each gives the words of a program, for a case and the path of what goes over

local function in_net(case, argv, always)
  if not case.mbit and not always then return argv end
  local peers = case.seeders + case.leechers
  return table.move(argv, 1, #argv, 5, { here .. "/net.sh", tostring(peers), tostring(case.mbit or 0),
    tostring(case.variant == "stopped" and peers - 1 or 0) })
end

local function shoal_with(mode)
  return function(case, path)
    return in_net(case, { build .. "/shoal", "--test", here .. "/transfer.lua", "--", path, mode, tostring(case.seeders),
      tostring(case.leechers), case.variant or "-" })
  end
end

local function peer(name, always_in_net)
  return function(case, path)
    return in_net(case, { "/usr/bin/python3", "-B", here .. "/peers/peer_" .. name .. ".py", path, work_folder(),
      tostring(case.seeders), tostring(case.leechers) }, always_in_net)
  end
end

-- A line of shell, timed from here; $1 is the path, $2 a folder to write to.
local function timed(line)
  return function(_, path)
    return { "sh", "-c", [[t0=$(date +%s%N); ]] .. line ..
      [[; t1=$(date +%s%N); echo "RESULT seconds=$(( (t1 - t0) / 1000000 ))e-3"]], "sh", path, work_folder() }
  end
end

local contenders = {
  limit = { run = function(_, path) return { build .. "/tests/bench/limit", path, work_folder() .. "/copy" } end },
  plain = { run = shoal_with "plain" },
  tls = { run = shoal_with "tls" },
  plain_pieces = { run = shoal_with "plain-pieces" },
  tls_pieces = { run = shoal_with "tls-pieces" },
  upload = { run = shoal_with "plain", time = "upload" },
  libtorrent = { run = peer "libtorrent", needs = "/usr/bin/python3 -c 'import libtorrent'" },
  aria2 = { run = peer "aria2", rounds = 1, needs = "command -v aria2c && command -v /usr/bin/python3" },
  -- It dials no loopback address: it is measured over links that are not limited.
  transmission = { run = peer("transmission", true),
    needs = "unshare --net --mount true && command -v transmission-daemon && command -v /usr/bin/python3" },
  curl_pipe = { run = function(case, path)
    return table.move(peer "nginx"(case, path), 1, 20, 3, { "env", "BENCH_PIPE=1" })
  end, needs = "command -v nginx && command -v curl && command -v /usr/bin/python3" },
  curl = { run = peer "nginx", needs = "command -v nginx && command -v curl && command -v /usr/bin/python3" },
  openssl = { run = timed "openssl dgst -sha256 \"$1\" >/dev/null", needs = "command -v openssl" },
  cp = { run = timed "cp -r \"$1\" \"$2\"" },
}
local ours = { limit = true, plain = true, tls = true, plain_pieces = true, tls_pieces = true, upload = true }

-- -- the cases. Targets: {who, "ratio", x}: limit / seconds >= x; {who, "times", other, x}: seconds <= x * the other's;
-- {who, "link", x}: seconds <= x * size / the rate of a link; {who, "floor", x}: as ratio, and the run fails.

local cases = {
  { name = "A", what = "1 seeder -> 1 leecher, in the clear", size = GIB, rounds = 3,
    who = { "limit", "plain", "plain_pieces", "libtorrent", "curl_pipe", "aria2" },
    targets = { { "plain", "ratio", 0.65 }, { "plain_pieces", "ratio", 0.90 }, { "plain", "floor", 0.5 } } },
  { name = "A-transmission", what = "as A, beside transmission", size = GIB, rounds = 1,
    who = { "limit", "plain", "transmission" }, targets = { { "plain", "times", "transmission", 1.0 } } },
  { name = "A-tls", what = "1 seeder -> 1 leecher, encrypted", size = GIB, rounds = 3,
    who = { "limit", "tls", "tls_pieces", "libtorrent" },
    targets = { { "tls", "ratio", 0.45 }, { "tls_pieces", "ratio", 0.55 }, { "tls", "times", "libtorrent", 1.0 } } },
  { name = "B", what = "as A, 3.6 GB", size = 3600000000, rounds = 1, who = { "limit", "plain", "libtorrent" },
    targets = { { "plain", "ratio", 0.85 } } },
  { name = "C", what = "4 seeders -> 1 leecher", size = GIB, rounds = 3, seeders = 4,
    who = { "limit", "plain" }, targets = { { "plain", "ratio", 0.85 }, { "plain", "shares", 15, 35 } } },
  { name = "D", what = "1 seeder -> 4 leechers", size = 512 * MIB, rounds = 3, leechers = 4,
    who = { "plain", "libtorrent", "curl" },
    targets = { { "plain", "times", "libtorrent", 1.0 }, { "plain", "times", "curl", 1.0 } } },
  { name = "E", what = "1 -> 4, each behind 200 Mbit/s", size = 128 * MIB, rounds = 1, leechers = 4, mbit = 200,
    who = { "tls", "libtorrent", "aria2" }, targets = { { "tls", "link", 1.08 } } },
  { name = "E2", what = "1 -> 32, each behind 50 Mbit/s", size = 32 * MIB, rounds = 1, leechers = 32, mbit = 50,
    who = { "tls" }, targets = { { "tls", "link", 1.35 } } },
  { name = "E2-slow", what = "E, one leecher at 1 Mbit/s, one stopped half-way", size = 128 * MIB, rounds = 1,
    leechers = 4, mbit = 200, variant = "stopped", who = { "tls" }, targets = { { "tls", "link", 1.25 } } },
  { name = "F", what = "1000 files of 16 KiB, 1 -> 1", count = 1000, size = 1000 * 16384, rounds = 3,
    who = { "plain", "libtorrent", "curl", "aria2", "cp" }, targets = { { "plain", "times", "libtorrent", 1.0 } } },
  { name = "G", what = "upload_file", size = GIB, rounds = 3, leechers = 0, who = { "upload", "openssl" },
    targets = { { "upload", "times", "openssl", 1.1 } } },
}

-- -- running them

local installed = {}
local function is_installed(name)
  local needs = contenders[name].needs
  if installed[name] == nil then installed[name] = not needs or shell(needs) or false end
  return installed[name]
end

-- Bytes of no pattern, the same on every run; a file that an earlier case made will do.
local function make_files(case)
  local stream = "openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2>/dev/null"
  local path = ("%s/%s"):format(folder, case.count and "many" or case.size .. ".bin")
  if case.count then
    assert(shell(([[[ -d %s ] || { mkdir %s && cd %s && %s | head -c %d | split -b %d -a 4 -d - f; }]]):format(path,
      path, path, stream, case.size, case.size // case.count)))
  else
    assert(shell(("[ -f %s ] || %s | head -c %d >%s"):format(path, stream, case.size, path)))
  end
  return path
end

local function measure(case, name, path)
  local contender = contenders[name]
  local ok, errors, output = command(contender.run(case, path))
  local line = output:match("RESULT ([^\n]*)")
  if not ok or not line then
    local why = (errors .. output):match("[^\n]*not ok[^\n]*\n[^\n]*") or (errors .. output):match("([^\n]+)\n*$") or "?"
    if ours[name] then error(("case %s, %s: %s\n%s"):format(case.name, name, why, output), 0) end
    return nil, why
  end
  local result = {}
  for key, value in line:gmatch("([%w_]+)=(%S*)") do result[key] = tonumber(value) or value end
  if contender.time then result = { seconds = result[contender.time] } end
  return result
end

local function run_case(case)
  local path = make_files(case)
  for _, name in ipairs(case.who) do -- before the clock: nobody is to pay for a cold cache
    case.results[name] = { runs = {}, why = not is_installed(name) and "not installed" or nil }
  end
  shell("cat " .. path .. (case.count and "/*" or "") .. " >/dev/null")
  if case.results.limit then measure(case, "limit", path) end
  for round = 1, case.rounds do
    for _, name in ipairs(case.who) do
      local r = case.results[name]
      if not r.why and round <= (contenders[name].rounds or round) then
        local result, why = measure(case, name, path)
        if result then r.runs[#r.runs + 1] = result else r.why = why end
      end
    end
  end
  proc.remove_tree(folder .. "/work")
end

local function machine()
  local _, _, text = shell("nproc; uname -r; sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1")
  local cores, kernel, cpu = text:match("(%d+)\n([^\n]*)\n([^\n]*)")
  return { cores = tonumber(cores), kernel = kernel, cpu = cpu ~= "" and cpu or "?" }
end

-- Bytes a second of SHA-256 on one core.
local function hash_rate()
  local _, _, text = shell("openssl speed -evp sha256 -bytes 16384 -seconds 1 2>/dev/null")
  return (assert(tonumber(text:match("sha256%s+([%d.]+)k")), "openssl speed says nothing")) * 1000
end

local function flush_seconds()
  local where = os.getenv("FLUSH_DIR") or "/var/tmp"
  local line = "f=$(mktemp %s/shoal-bench.XXXXXX) && dd if=/dev/zero of=$f bs=1M count=256 conv=fsync; rm -f $f"
  local _, text = shell(line:format(where))
  return tonumber(text:match("copied, ([%d.]+) s")), where
end

local function wanted(list)
  if #list == 0 then return cases end
  local out = {}
  for _, name in ipairs(list) do
    local found = false
    for _, case in ipairs(cases) do
      if case.name == name then out[#out + 1], found = case, true end
    end
    if not found then error("no case '" .. name .. "'", 0) end
  end
  return out
end

T.case("bench", function()
  local run = { machine = machine(), cases = {}, invalid = {}, missed = {} }
  run.flush, run.flush_dir = flush_seconds()
  print(report.head(run))
  for _, case in ipairs(wanted{ table.unpack(arg, 3) }) do
    case.rounds = tonumber(os.getenv("ROUNDS") or "") or case.rounds
    case.size = not case.count and tonumber(os.getenv("SIZE") or "") or case.size
    case.seeders, case.leechers, case.results = case.seeders or 1, case.leechers or 1, {}
    run.cases[#run.cases + 1] = case
    case.hash_rate = hash_rate()
    run_case(case)
    report.judge(run, case, VALID)
    print(report.table(case))
    io.stdout:flush()
  end
  local f = assert(io.open(json_path, "w"))
  assert(f:write(shoal.json.encode(report.json(run)), "\n"))
  assert(f:close())
  print(report.tail(run, json_path))
  if #run.invalid > 0 then error(table.concat(run.invalid, "\n"), 0) end
end)
