-- Trackers come and go by editing tracker_info.txt and SIGHUP; two of one id, or one that is led back to itself, refuse each other.
local T = require "shoal.test"

local function write_info(path, trackers)
  local f = assert(io.open(path, "w"))
  for _, tracker in ipairs(trackers) do f:write(tracker.addr, "  ", tracker.id, "\n") end
  f:close()
  return path
end

local function lines_with(path, what)
  local n = 0
  for line in io.lines(path) do n = n + (line:find(what, 1, true) and 1 or 0) end
  return n
end

local function state_of(client, id)
  for _, row in ipairs(client:trackers() or {}) do
    if row.id == id then return row.state, row.why end
  end
end

T.case("added, used, taken out", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  t.ok(c.alice:use_tracker(1))
  for i = 1, 20 do t.ok(c.alice:create_group("g" .. i)) end
  local third = c:tracker(3, c:free_ports(1)[1])
  local one, two = c.trackers[1], c.trackers[2]
  write_info(c.tracker_info, { one, two, third })
  third:start()
  t.eventually(function() return lines_with(third.log, "tracker 1 is not reached") == 1 end, 10)
  one:reload()
  two:reload()
  t.eventually(function() return state_of(c.alice, 3) == "connected" end, 10)
  local bob = c:client("bob")
  t.ok(bob:use_tracker(3))
  t.ok(bob:wait_synced(t.ok(bob:create_group("made on three"))))
  t.eq(#t.ok(bob:list_groups()), 21)

  -- taken out: neither dialled nor listened to any more, and nobody waits for it
  local reached = lines_with(one.log, "tracker 3 is reached")
  t.ok(bob:use_tracker(2))
  write_info(c.tracker_info, { one, two })
  one:reload()
  two:reload()
  t.eventually(function() return state_of(c.alice, 3) == nil end, 10)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("without three")), { trackers = "all", timeout = 5 }))
  t.eventually(function() return lines_with(one.log, "tracker 3 is not in the list of tracker 1") == 1 end, 10)
  shoal.sleep(2.5) -- it knocks every two seconds at most: said once, not at each
  t.eq(lines_with(one.log, "tracker 3 is not in the list of tracker 1"), 1)
  t.eq(lines_with(one.log, "tracker 3 is reached"), reached)

  -- and back again
  write_info(c.tracker_info, { one, two, third })
  one:reload()
  two:reload()
  t.eventually(function() return state_of(c.alice, 3) == "connected" end, 10)
  t.ok(bob:use_tracker(3))
  t.eventually(function() return #t.ok(bob:list_groups()) == 22 end, 10)
end)

T.case("a tracker whose own line has gone, or says another address, says so", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  local one, two = c.trackers[1], c.trackers[2]
  t.ok(c.alice:use_tracker(2))
  write_info(c.tracker_info, { two })
  one:reload()
  t.eventually(function() return lines_with(one.log, "has no line for this tracker, id 1, any more") == 1 end, 10)
  local moved = { id = 1, addr = "127.0.0.1:" .. c:free_ports(1)[1] }
  write_info(c.tracker_info, { moved, two })
  one:reload()
  local says = "the list says " .. moved.addr .. " for this tracker, which listens on " .. one.addr
  t.eventually(function() return lines_with(one.log, says) == 1 end, 10)
  write_info(c.tracker_info, { one, two })
  one:reload()
  t.eventually(function() return lines_with(one.log, "again: 2 trackers") == 2 end, 10)
  t.eq(lines_with(one.log, "for this tracker, "), 2)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("goes on")), { timeout = 5 }))
end)

T.case("two trackers of one id: both say so, once, and the first goes on", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  local one, two = c.trackers[1], c.trackers[2]
  t.ok(c.alice:use_tracker(1))
  t.eventually(function() return state_of(c.alice, 2) == "connected" end, 10)
  local double = c:tracker(2, c:free_ports(1)[1])
  double.info = write_info(double.dir .. "/info", { one, double })
  double:start()
  t.eventually(function()
    local state, why = state_of(c.alice, 2)
    return state == "refused" and why:find("two trackers have the id 2", 1, true)
  end, 10)
  t.eventually(function() return lines_with(double.log, "it refuses us: two trackers have the id 2") == 1 end, 10)
  shoal.sleep(3) -- it knocks every two seconds at most: that is not said each time
  t.eq(lines_with(one.log, "two trackers have the id 2"), 1)
  t.eq(lines_with(double.log, "it refuses us: two trackers have the id 2"), 1)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("goes on")), { timeout = 5 }))
end)

T.case("one that is led back to itself says so, and does not spin", function(t)
  local c = t.cluster{ trackers = 1, start = 0 }
  local lost = c.trackers[1]
  write_info(c.tracker_info, { lost })
  local f = assert(io.open(c.tracker_info, "a"))
  f:write(("localhost:%d  2\n"):format(lost.port)) -- the same address by another name
  f:close()
  lost:start()
  t.eventually(function() return lines_with(lost.log, "it has our own id 1") >= 2 end, 10)
  shoal.sleep(3)
  t.eq(lines_with(lost.log, "it has our own id 1"), 2) -- who dialled and who was dialled, each once
end)
