-- Thousands of clients on one tracker, which is killed: how soon is each of them served by the other one? Run by
-- tests/bench/move.sh: shoal --test tests/bench/move.lua -- CLIENTS STRANGERS
local T = require "shoal.test"
local proc = require "shoal.proc"
local clients, strangers = tonumber(arg[1]), arg[2]

local function lines(path)
  local f = io.open(path)
  local text = f and f:read("a") or ""
  if f then f:close() end
  return text
end

T.case(("%d clients move to one tracker"):format(clients), function(t)
  local c = t.cluster{ trackers = 2, start = 0, tracker_args = { "--strangers", strangers } }
  local bench = shoal.build_folder .. "/tests/bench/"
  local fill = proc.spawn({ bench .. "tracker_fill", c.trackers[1].dir .. "/tracker.db", tostring(clients), "100", "0" },
    { output = c.dir .. "/fill" })
  t.eq(fill:wait(60), 0, lines(c.dir .. "/fill"))
  c.trackers[1]:start()
  local herd = proc.spawn({ bench .. "client_move", c.tracker_info, tostring(clients) }, { output = c.dir .. "/herd" })
  local function said(pattern)
    if not herd:alive() then error("client_move ended: " .. lines(c.dir .. "/herd")) end
    return lines(c.dir .. "/herd"):match(pattern)
  end
  t.eventually(function() return said("ready") end, 170)
  c.trackers[2]:start()
  local watch = c:client("watch")
  t.ok(watch:use_tracker(1))
  t.ok(watch:wait_synced(t.ok(watch:create_group("synced")), { timeout = 60 }))
  c.trackers[1]:kill()
  local code = herd:wait(150)
  local text = lines(c.dir .. "/herd")
  print("# " .. (text:match("ready[^\n]*") or "not ready") .. ", memory of the tracker " ..
    shoal.fmt.bytes(c.trackers[2]:memory()))
  print("# " .. (text:match("RESULT[^\n]*") or text))
  t.eq(code, 0)
end)
