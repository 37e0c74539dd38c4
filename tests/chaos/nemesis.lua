-- What goes wrong: two coroutines, one that breaks the network and one that breaks trackers.
--
-- At most one tracker at a time loses its disk or gets an old one, and only after another one has acknowledged all it had
-- while no client could reach it: what was on that disk alone would be gone, and nobody could be blamed.
local proc = require "shoal.proc"

local JOIN_SECONDS = 5 -- a tracker that reaches no other takes changes after that

local Nemesis = {}
Nemesis.__index = Nemesis

local function wait(seconds)
  local till = proc.mono() + seconds
  while proc.mono() < till do coroutine.yield() end
end

local function wait_for(fn, seconds)
  local till = proc.mono() + seconds
  repeat
    if fn() then return true end
    wait(0.1)
  until proc.mono() > till
  return false
end

local function between(low, high) return low + math.random() * (high - low) end

function Nemesis.new(lab, log, longest)
  return setmetatable({ lab = lab, log = log, longest = longest, blocks = {}, hidden = {}, frozen = {}, counts = {} }, Nemesis)
end

function Nemesis:say(what, ...)
  self.counts[what] = (self.counts[what] or 0) + 1
  self.log(what .. " " .. table.concat({ ... }, " "))
end

-- -- the network

local function everybody(lab)
  local all = {}
  for i in ipairs(lab.trackers) do all[#all + 1] = i end
  for _, name in ipairs(lab.names) do all[#all + 1] = name end
  return all
end

-- What is blocked in all: by the partition, and of the tracker that is hidden from clients.
function Nemesis:apply()
  local all = {}
  for _, map in ipairs{ self.blocks, self.hidden } do
    for from, others in pairs(map) do
      all[from] = all[from] or {}
      for to in pairs(others) do all[from][to] = true end
    end
  end
  self.lab.net:block(all)
end

local function block(map, from, to)
  map[from] = map[from] or {}
  map[from][to] = true
end

local partitions = {}

-- Everybody on one of two sides.
function partitions.split(lab, map)
  local side, words = {}, {}
  for _, who in ipairs(everybody(lab)) do side[who] = math.random(2) end
  side[1], side[2] = 1, 2
  for a in pairs(side) do
    for b in pairs(side) do if side[a] ~= side[b] then block(map, a, b) end end
  end
  for who, s in pairs(side) do if s == 1 then words[#words + 1] = tostring(who) end end
  table.sort(words)
  return table.concat(words, ",")
end

-- One tracker is heard by both sides, which do not hear each other.
function partitions.bridge(lab, map)
  local middle = math.random(#lab.trackers)
  local words = partitions.split(lab, map)
  map[middle] = nil
  for _, to in pairs(map) do to[middle] = nil end
  return words .. " over " .. middle
end

function partitions.one_way(lab, map)
  local from = math.random(#lab.trackers)
  for _, who in ipairs(everybody(lab)) do
    if who ~= from and math.random(2) == 1 then block(map, from, who) end
  end
  return "from " .. from
end

function partitions.isolate(lab, map)
  local one = math.random(#lab.trackers)
  for _, who in ipairs(everybody(lab)) do
    if who ~= one then block(map, one, who) block(map, who, one) end
  end
  return tostring(one)
end

function Nemesis:partition(kind)
  self.blocks = {}
  self:say(kind, partitions[kind](self.lab, self.blocks))
  self:apply()
end

function Nemesis:mend()
  self.blocks = {}
  self:apply()
end

-- Gone and back, several times within a second.
function Nemesis:flap()
  self:say("flap")
  for _ = 1, math.random(3, 8) do
    self.blocks = {}
    partitions.split(self.lab, self.blocks)
    self:apply()
    wait(between(0.05, 0.3))
    self:mend()
    wait(between(0.05, 0.3))
  end
end

function Nemesis:slow()
  local i = math.random(#self.lab.trackers)
  self:say("slow", i)
  self.lab.net:slow(i, true)
  wait(between(1, self.longest))
  self.lab.net:slow(i, false)
end

function Nemesis:break_network()
  while true do
    wait(between(0.3, self.longest / 2))
    local what = math.random(8)
    if what == 1 then
      self:flap()
    elseif what == 2 and self.lab.net.shaper then
      self:slow()
    else
      local kinds = { "split", "bridge", "one_way", "isolate" }
      self:partition(kinds[math.random(#kinds)])
      wait(between(0.5, self.longest))
      self:mend()
      self.log("mended")
    end
  end
end

-- -- the trackers

function Nemesis:start(tracker)
  tracker:launch_tracker()
  local ok = wait_for(function() return tracker:listening() or not tracker.process:alive() end, 30)
  if not ok or not tracker.process:alive() then error(tracker.name .. " does not start again", 0) end
end

function Nemesis:kill(i)
  self:say("kill", i)
  self.lab.trackers[i]:kill()
  wait(between(0, self.longest / 2))
  self:start(self.lab.trackers[i])
end

function Nemesis:kill_all()
  self:say("kill_all")
  for _, tracker in ipairs(self.lab.trackers) do tracker:kill() end
  wait(between(0, 1))
  for _, tracker in ipairs(self.lab.trackers) do self:start(tracker) end
end

function Nemesis:freeze(i)
  self:say("freeze", i)
  self.frozen[i] = true
  self.lab.trackers[i]:freeze()
  wait(between(0.5, self.longest))
  self.lab.trackers[i]:thaw()
  self.frozen[i] = nil
end

-- Hidden from the clients until somebody else has all that it has; then it is killed. With it, sometimes, those others:
-- what they have acknowledged is on their disks.
function Nemesis:drain(i)
  for _, name in ipairs(self.lab.names) do
    block(self.hidden, i, name)
    block(self.hidden, name, i)
  end
  self:apply()
  wait(0.3)
  local drained = wait_for(function() return self.lab:is_elsewhere(i) end, 10)
  local others = drained and math.random(2) == 1
  for k, tracker in ipairs(self.lab.trackers) do
    if drained and k == i or others and not self.frozen[k] then tracker:kill() end
  end
  for k, tracker in ipairs(self.lab.trackers) do if k ~= i and not tracker.running then self:start(tracker) end end
  return drained
end

-- Clients reach it again, the other trackers do not: after JOIN_SECONDS it goes on with what it has.
function Nemesis:alone(i)
  self:say("alone", i)
  self.hidden = {}
  for k in ipairs(self.lab.trackers) do
    if k ~= i then
      block(self.hidden, i, k)
      block(self.hidden, k, i)
    end
  end
  self:apply()
end

function Nemesis:replace(i, backup)
  local word = backup and "old_backup" or "lost_disk"
  if self:drain(i) then
    self:say(word, i)
    self.lab:replace_database(i, backup)
    wait(between(0, self.longest / 4))
    local alone = math.random(2) == 1
    if alone then self:alone(i) end
    self:start(self.lab.trackers[i])
    if alone then wait(JOIN_SECONDS + between(1, self.longest)) end
  else
    self.log(word .. " " .. i .. ": not done, nobody else has what it has")
  end
  self.hidden = {}
  self:apply()
end

function Nemesis:break_trackers()
  local backups = {}
  while true do
    wait(between(0.3, self.longest / 2))
    local i, what = math.random(#self.lab.trackers), math.random(12)
    if math.random(3) == 1 then backups[i] = self.lab:copy_database(i) or backups[i] end
    if what <= 4 then
      self:kill(i)
    elseif what == 5 then
      self:kill_all()
    elseif what <= 8 then
      self:freeze(i)
    elseif what <= 10 or not backups[i] then
      self:replace(i)
    else
      self:replace(i, backups[i])
    end
  end
end

-- -- by whoever has the loop

function Nemesis:begin()
  self.routines = { coroutine.create(function() self:break_network() end), coroutine.create(function() self:break_trackers() end) }
end

function Nemesis:step()
  for _, routine in ipairs(self.routines) do
    local ok, why = coroutine.resume(routine)
    if not ok then error(why, 0) end
  end
end

-- Everything is well from now on.
function Nemesis:finish()
  self.routines, self.blocks, self.hidden = {}, {}, {}
  self:apply()
  for i, tracker in ipairs(self.lab.trackers) do
    self.lab.net:slow(i, false)
    if self.frozen[i] then tracker:thaw() end
    if not tracker.running or not tracker.process:alive() then
      if tracker.running then error(tracker.name .. " ended by itself", 0) end
      tracker:start()
    end
  end
  self.frozen = {}
  self.log("everything is well")
end

return Nemesis
