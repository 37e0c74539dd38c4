-- Trackers and clients, each at a place of its own in a network that can be broken.
local proc = require "shoal.proc"
local Net = require "net"

local Lab = {}
Lab.__index = Lab
local PORT = 5000 -- in a namespace of its own every port is free
local SKEWS = { 0, 0, 700, -1500, 9000, -20000 } -- ms; a tracker that is a minute off refuses changes
-- us that a flush takes longer: while it does, what comes is neither on the disk nor answered. One tracker has the slowest.
local FLUSHES = { 0, 5000, 30000 }
local SLOWEST = 300000

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

-- Trackers are ids, clients names.
function Lab.new(t, opts)
  local net, why = nil, "RELAYS is set"
  if (os.getenv("CHAOS_RELAYS") or "") == "" then net, why = Net.namespaces() end
  local lab = setmetatable({ t = t, names = {}, backups = 0 }, Lab)
  lab.cluster = t.cluster{ trackers = net and 0 or opts.trackers, start = 0, faults = not net }
  lab.net = net or Net.relays(lab.cluster)
  if not net then print("# no network namespaces (" .. why .. "): relays instead, no slow lines") end
  lab.skew = shoal.build_folder .. "/tests/chaos/skew.so"
  lab.cluster.host = net and "" or "127.0.0.1"
  if not exists(lab.skew) then
    lab.skew = nil
    print("# clocks are right and disks are fast: no skew.so beside the programs")
  end
  if net then lab:place_trackers(opts.trackers) end
  lab.trackers = lab.cluster.trackers
  -- One whose log is cut after seconds, so that who was away gets snapshots; CHAOS_TRACKER is another.
  lab.program = os.getenv("CHAOS_TRACKER") or shoal.build_folder .. "/tests/chaos/shoal-tracker"
  if not exists(lab.program) then
    lab.program = nil
    print("# logs are not cut: no " .. shoal.build_folder .. "/tests/chaos/shoal-tracker")
  end
  lab.slowest = math.random(#lab.trackers)
  for i, tracker in ipairs(lab.trackers) do
    lab:prepare(i, tracker)
    tracker:start()
  end
  for _, name in ipairs(opts.clients) do lab:add_client(name, net) end
  if net then print("# slow lines: " .. (net:find_shaper() or "none, this kernel has neither netem nor tbf")) end
  return lab
end

function Lab:place_trackers(n)
  local c = self.cluster
  local f = assert(io.open(c.tracker_info, "w"))
  for id = 1, n do
    local address, words = self.net:add(id)
    local tracker = c:tracker(id, PORT)
    tracker.before, tracker.addr = words, address .. ":" .. PORT
    c.trackers[id] = tracker
    f:write(tracker.addr, "  ", id, "\n")
  end
  f:close()
end

function Lab:prepare(i, tracker)
  tracker.program = self.program
  tracker.listening = function(self)
    local connection = proc.connect(self.dir .. "/control")
    if connection then connection:close() end
    return connection ~= nil
  end
  if not self.skew then return end
  local skew, flush = SKEWS[math.random(#SKEWS)], FLUSHES[math.random(#FLUSHES)]
  if i == self.slowest then flush = SLOWEST end
  local preload = ("LD_PRELOAD=%s:%s"):format(self.skew, (self.skew:gsub("skew%.so$", "flush.so")))
  tracker.before = tracker.before or {}
  for _, word in ipairs{ "env", preload, "SKEW_MS=" .. skew, "FLUSH_US=" .. flush } do table.insert(tracker.before, word) end
  print(("# tracker %d: its clock %+.1f s, a flush %d ms longer"):format(i, skew / 1000, flush // 1000))
end

function Lab:add_client(name, net)
  local opts = {}
  if net then
    local address, words = net:add(name)
    opts.before, opts.listen = words, address .. ":0"
  end
  self.names[#self.names + 1] = name
  self.cluster:client(name, opts)
end

-- Text of `shoal-tracker --status`, nil if it does not answer.
function Lab:status(i)
  local p = proc.spawn({ shoal.build_folder .. "/shoal-tracker", "--status", self.trackers[i].dir }, { capture = true })
  local code = p:wait(5)
  if code == nil then p:kill(9) end
  return code == 0 and p:output() or nil
end

-- Everything that tracker i has is on another's disk, too.
function Lab:is_elsewhere(i)
  return (self:status(i) or ""):find(": connected, 0 operations behind", 1, true) ~= nil
end

function Lab:copy_database(i)
  self.backups = self.backups + 1
  local path = ("%s/backup-%d"):format(self.cluster.dir, self.backups)
  local p = proc.spawn({ shoal.build_folder .. "/shoal-tracker", "--backup", self.trackers[i].dir, path }, { capture = true })
  return p:wait(20) == 0 and path or nil
end

-- Of a tracker that does not run: an empty disk, or what a backup had.
function Lab:replace_database(i, backup)
  local dir = self.trackers[i].dir
  for _, name in ipairs{ "tracker.db", "tracker.db-wal", "tracker.db.rebuilding" } do os.remove(dir .. "/" .. name) end
  if backup then
    local p = proc.spawn({ "cp", backup, dir .. "/tracker.db" }, { capture = true })
    assert(p:wait(20) == 0, "cannot copy a backup")
  end
end

return Lab
