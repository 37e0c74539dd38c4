-- What make bench prints, and writes as JSON: medians with min..max, and whether the targets of each case are met.
local M = {}

local SEEDER_KIB, LEECHER_KIB = 32 * 1024, 64 * 1024 -- anonymous memory, whatever the size and the number of peers

local shown = { limit = "limit program", plain = "shoal, in the clear", tls = "shoal, TLS 1.3",
  plain_pieces = "shoal, clear, pieces only", tls_pieces = "shoal, TLS, pieces only",
  upload = "shoal upload_file", curl_pipe = "nginx + curl, tee, SHA-256", curl = "nginx + curl, then SHA-256",
  transmission = "transmission (over veth)", openssl = "openssl dgst -sha256", cp = "cp -r" }
local HEAD = "  %-27s %8s %17s %7s %7s %11s %12s %8s"

local function median(runs, key)
  local v = {}
  for _, r in ipairs(runs) do v[#v + 1] = tonumber(r[key]) end
  table.sort(v)
  return v[(#v + 1) // 2], v[1], v[#v]
end

local function largest(runs, key)
  local _, _, max = median(runs, key)
  return max
end

local function seconds(case, name)
  local r = case.results[name]
  return r and median(r.runs, "seconds")
end

local function cell(fmt, value) return value and fmt:format(value) or "-" end

function M.head(run)
  local m = run.machine
  return ("# %d cores, %s, Linux %s; a flush of 256 MiB to %s: %s"):format(m.cores, m.cpu, m.kernel, run.flush_dir,
    cell("%.2f s", run.flush))
end

-- One target: what was measured, as text, and whether it is met; nil if a contender is missing.
local function judge_target(case, t)
  local s, limit = seconds(case, t[1]), seconds(case, "limit")
  if not s then return nil end
  if t[2] == "ratio" or t[2] == "floor" then
    return ("%s: %.2f of the limit, to be >= %.2f"):format(t[1], limit / s, t[3]), limit / s >= t[3]
  elseif t[2] == "times" then
    local other = seconds(case, t[3])
    if not other then return nil end
    return ("%s: %.2f times %s, to be <= %.2f"):format(t[1], s / other, t[3], t[4] or 1), s <= other * (t[4] or 1)
  elseif t[2] == "link" then
    local perfect = case.size * 8 / (case.mbit * 1e6)
    return ("%s: %.3f times file / link rate (%.2f s), to be <= %.2f"):format(t[1], s / perfect, perfect, t[3]),
      s <= perfect * t[3]
  end
  local all, ok = {}, true
  for _, r in ipairs(case.results[t[1]].runs) do
    local n = 0
    for part in tostring(r.shares):gmatch("%d+") do
      n = n + 1
      ok = ok and tonumber(part) >= t[3] and tonumber(part) <= t[4]
    end
    ok = ok and n == case.seeders
    all[#all + 1] = tostring(r.shares)
  end
  return ("%s: each seeder gave %s %%, to be %d to %d"):format(t[1], table.concat(all, " / "), t[3], t[4]), ok
end

local function note(run, case, text, ok)
  case.verdicts[#case.verdicts + 1] = (ok and "met     " or "MISSED  ") .. text
  if not ok then run.missed[#run.missed + 1] = case.name .. ": " .. text end
end

-- Fills in case.verdicts, run.missed, and run.invalid: why the whole run counts for nothing.
function M.judge(run, case, valid)
  case.verdicts = {}
  local limit = seconds(case, "limit")
  if limit then
    local most = valid * case.size / (run.machine.cores * case.hash_rate)
    local text = ("limit program %.3f s, valid up to %.3f s (%.1f x size / (%d cores x %.0f MB/s of openssl speed))")
      :format(limit, most, valid, run.machine.cores, case.hash_rate / 1e6)
    case.verdicts[1] = (limit <= most and "valid   " or "INVALID ") .. text
    if limit > most then run.invalid[#run.invalid + 1] = ("case %s: %s"):format(case.name, text) end
  end
  for _, t in ipairs(case.targets) do
    local text, ok = judge_target(case, t)
    if text and t[2] ~= "floor" then
      note(run, case, text, ok)
    elseif text and not ok then
      run.invalid[#run.invalid + 1] = ("case %s: %s"):format(case.name, text)
    end
  end
  for _, name in ipairs{ "plain", "tls" } do
    local r = case.results[name]
    local seeder, leecher = r and largest(r.runs, "seeder_kib"), r and largest(r.runs, "leecher_kib")
    if seeder and leecher then
      note(run, case, ("%s: anonymous memory %.0f and %.0f MiB, to be <= 32 and 64"):format(name, seeder / 1024,
        leecher / 1024), seeder <= SEEDER_KIB and leecher <= LEECHER_KIB)
    end
  end
end

function M.table(case)
  local out = { "", ("case %s: %s, %.0f MiB, %d round%s"):format(case.name, case.what, case.size / 1048576, case.rounds,
    case.rounds == 1 and "" or "s"),
    HEAD:format("", "median s", "min..max", "MB/s", "/limit", "CPU s S+L", "anon MiB S+L", "shares") }
  for _, name in ipairs(case.who) do
    local r, limit = case.results[name], seconds(case, "limit")
    local s, min, max = median(r.runs, "seconds")
    local left = ("  %-27s "):format(shown[name] or name)
    if not s then
      out[#out + 1] = left .. (r.why or "no result")
    else
      local seeder, leecher = largest(r.runs, "seeder_kib"), largest(r.runs, "leecher_kib")
      out[#out + 1] = left .. ("%8.3f %17s %7.0f %7s %11s %12s %8s"):format(s, ("%.3f..%.3f"):format(min, max),
        case.size / s / 1e6, limit and ("%.2f"):format(limit / s) or "-",
        cell("%.2f", median(r.runs, "seeder_cpu")) .. "+" .. cell("%.2f", median(r.runs, "leecher_cpu")),
        cell("%.0f", seeder and seeder / 1024) .. "+" .. cell("%.0f", leecher and leecher / 1024),
        r.runs[#r.runs].shares or "")
    end
  end
  for _, v in ipairs(case.verdicts) do out[#out + 1] = "  " .. v end
  return table.concat(out, "\n")
end

function M.json(run)
  local out = { machine = run.machine, flush_256_mib_seconds = run.flush, invalid = run.invalid, missed = run.missed,
    cases = {} }
  for i, case in ipairs(run.cases) do
    local c = { name = case.name, what = case.what, bytes = case.size, seeders = case.seeders, leechers = case.leechers,
      mbit = case.mbit, hash_bytes_per_second = case.hash_rate, verdicts = case.verdicts, contenders = {} }
    local limit = seconds(case, "limit")
    for _, name in ipairs(case.who) do
      local r = case.results[name]
      local s, min, max = median(r.runs, "seconds")
      c.contenders[name] = s and { median = s, min = min, max = max, mb_per_second = case.size / s / 1e6,
        of_limit = limit and limit / s, runs = r.runs } or { why = r.why }
    end
    out.cases[i] = c
  end
  return out
end

function M.tail(run, path)
  local out = { "", ("%d targets missed; as JSON: %s"):format(#run.missed, path) }
  for _, text in ipairs(run.missed) do out[#out + 1] = "  " .. text end
  return table.concat(out, "\n")
end

return M
