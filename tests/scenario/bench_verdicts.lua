-- What make bench says about its figures: a run that counts for nothing must say so, a missed target must be named.
local T = require "shoal.test"
local report = assert(loadfile("tests/bench/bench_report.lua"))()

local MB = 1000000

-- A case with these seconds of each contender: judged on two cores that hash 100 MB/s each.
local function judged(case, results)
  local run = { machine = { cores = 2, cpu = "-", kernel = "-" }, cases = { case }, invalid = {}, missed = {} }
  case.name, case.what, case.size, case.hash_rate = "X", "a case", 200 * MB, 100 * MB
  case.seeders, case.rounds, case.results, case.who = case.seeders or 1, 1, {}, {}
  for name, runs in pairs(results) do
    for i, r in ipairs(runs) do runs[i] = type(r) == "number" and { seconds = r } or r end
    case.results[name] = { runs = runs }
    case.who[#case.who + 1] = name
  end
  report.judge(run, case, 1.7)
  return run, case
end

T.case("a limit program that is slower than hashing allows makes the run invalid", function(t)
  t.eq(#judged({ targets = {} }, { limit = { 1.69, 1.69, 9 } }).invalid, 0)
  t.eq(#judged({ targets = {} }, { limit = { 0.1, 1.71, 1.71 } }).invalid, 1)
end)

T.case("the median is compared, and what is missed is named", function(t)
  local targets = { { "plain", "ratio", 0.65 }, { "plain", "times", "libtorrent", 1.0 } }
  t.eq(#judged({ targets = targets }, { limit = { 1 }, plain = { 9, 1.5, 1 }, libtorrent = { 1.5 } }).missed, 0)
  local run = judged({ targets = targets }, { limit = { 1 }, plain = { 1, 1.6, 9 }, libtorrent = { 1.5 } })
  t.eq(#run.missed, 2)
  t.match(run.missed[1], "0.62 of the limit")
  t.eq(#judged({ targets = targets }, { limit = { 1 }, plain = { 1 } }).missed, 0, "nothing is said of who is not there")
end)

T.case("slower than half of the limit is more than a missed target", function(t)
  local targets = { { "plain", "floor", 0.5 } }
  t.eq(#judged({ targets = targets }, { limit = { 1 }, plain = { 1.9 } }).invalid, 0)
  t.eq(#judged({ targets = targets }, { limit = { 1 }, plain = { 2.1 } }).invalid, 1)
end)

T.case("seconds behind a link are compared with the file over the link", function(t)
  local case = { mbit = 200, targets = { { "tls", "link", 1.08 } } } -- 8 s
  t.eq(#judged(case, { tls = { 8.6 } }).missed, 0)
  t.eq(#judged(case, { tls = { 8.7 } }).missed, 1)
end)

T.case("each seeder is to give its part, in every round", function(t)
  local case = { seeders = 2, targets = { { "plain", "shares", 15, 35 } } }
  local function missed(...)
    local runs = {}
    for i, shares in ipairs{ ... } do runs[i] = { seconds = 1, shares = shares } end
    return #judged(case, { plain = runs, limit = { 1 } }).missed
  end
  t.eq(missed("35,15"), 0)
  t.eq(missed("35,15", "36,34"), 1)
  t.eq(missed("30"), 1, "one seeder gave nothing")
  t.eq(missed(""), 1)
end)

T.case("too much memory is a missed target", function(t)
  local function missed(seeder, leecher)
    return #judged({ targets = {} }, { tls = { { seconds = 1, seeder_kib = 1, leecher_kib = 1 },
      { seconds = 1, seeder_kib = seeder, leecher_kib = leecher } } }).missed
  end
  t.eq(missed(32768, 65536), 0)
  t.eq(missed(32769, 65536), 1)
  t.eq(missed(32768, 65537), 1)
end)

T.case("the table and the JSON have every contender", function(t)
  local run, case = judged({ targets = {} }, { limit = { 1, 2, 3 }, cp = {} })
  case.results.cp.why = "not installed"
  t.match(report.table(case), "limit program +2.000 +1.000..3.000 +100 +1.00")
  t.match(report.table(case), "cp %-r +not installed")
  local c = report.json(run).cases[1].contenders
  t.eq(c.limit.median, 2)
  t.eq(c.cp.why, "not installed")
end)
