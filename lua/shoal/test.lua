-- shoal.test: scenarios with real processes. Runs under `shoal --test FILE|DIR`; TAP on standard output.
--
--   local T = require "shoal.test"
--   T.case("a late tracker catches up", function(t)
--     local c = t.cluster{ trackers = 2, peers = { "alice", "bob" } }
--     local s = t.ok(c.alice:create_group("g"))
--     ...
--   end)
--
-- Each case has its own folder, ports and processes; all of it is gone when the case ends, also when it fails (KEEP=1
-- keeps the folder). A process that ends without having been told to fails the case.
local proc = require "shoal.proc"

local T = {}
local CALL_SECONDS = 120
local count, failed = 0, 0

-- -- small things

local function pack_error(err)
  return setmetatable(err, { __tostring = function(e)
    return ("%s: %s (%s)"):format(e.op or "?", e.message or "?", e.code or "?")
  end })
end

local function show(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "table" or (getmetatable(v) or {}).__tostring then return tostring(v) end
  local ok, text = pcall(shoal.json.encode, v)
  return ok and text or tostring(v)
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

local function tail(path, lines)
  local out = {}
  local f = io.open(path)
  if not f then return out end
  for line in f:lines() do
    out[#out + 1] = line
    if #out > lines then table.remove(out, 1) end
  end
  f:close()
  return out
end

local function binary(name)
  return assert(shoal.build_folder, "where are the programs?") .. "/" .. name
end

local function proc_status(pid, key)
  local f = io.open(("/proc/%d/status"):format(pid))
  if not f then return nil end
  local text = f:read("a")
  f:close()
  return tonumber(text:match(key .. ":%s*(%d+)"))
end

-- -- a program that runs

local Program = {}
Program.__index = Program

function Program:launch(argv)
  self.process = proc.spawn(argv, { output = self.log })
  self.running = true
end

-- Ends it hard, as a crash or a power cut would.
function Program:kill()
  if not self.running then return end
  self:forget()
  self.process:kill(9)
  assert(self.process:wait(10), self.name .. " does not die")
end

function Program:term()
  if not self.running then return end
  self:forget()
  self:thaw() -- else it would not hear that it is to end
  self.process:kill(15)
  self.stopping = true
end

-- What a program that was told to end gives: anything else is a crash, or a leak that a sanitizer has found.
function Program:join()
  if not self.stopping then return end
  self.stopping = false
  local code = self.process:wait(20)
  if code == nil then
    self.process:kill(9)
    self.process:wait(10)
    error(self.name .. " did not stop within 20 s", 0)
  end
  if code ~= self.clean_code then error(("%s ended with code %d"):format(self.name, code), 0) end
end

function Program:stop()
  self:term()
  self:join()
end

function Program:forget()
  self.running = false
  if self.connection then self.connection:close() end
  self.connection = false
end

function Program:restart()
  self:stop()
  self:start()
end

-- Stopped and gone on with: alive for its system, silent for everybody else.
function Program:freeze() self.process:kill(19) end
function Program:thaw() self.process:kill(18) end

function Program:memory() return (proc_status(self.process:pid(), "VmRSS") or 0) * 1024 end
function Program:threads() return proc_status(self.process:pid(), "Threads") or 0 end

-- -- trackers

local Tracker = setmetatable({}, { __index = Program })
Tracker.__index = Tracker

-- Does it take connections? One that is in another network namespace has an answer of its own.
function Tracker:listening() return proc.listens(self.cluster.host, self.port) end

function Tracker:launch_tracker()
  local c = self.cluster
  local argv = table.move(self.before or {}, 1, #(self.before or {}), 1, {}) -- words that start it elsewhere
  for _, word in ipairs{ self.program or binary "shoal-tracker", "--scrypt-ln", "10", "--login-rate", "0", "--create-rate", "0",
    "--data", self.dir, "--cluster-key", c.dir .. "/cluster.key" } do argv[#argv + 1] = word end
  if c.plaintext then argv[#argv + 1] = "--plaintext" end
  for _, word in ipairs(c.tracker_args) do argv[#argv + 1] = word end
  argv[#argv + 1] = self.info or c:info_for(self.id)
  argv[#argv + 1] = tostring(self.id)
  self:launch(argv)
end

function Tracker:start()
  self:launch_tracker()
  local deadline = proc.mono() + 20
  while not self:listening() do
    if not self.process:alive() then error(("tracker %d ended at its start"):format(self.id), 0) end
    if proc.mono() > deadline then error(("tracker %d does not listen after 20 s"):format(self.id), 0) end
    shoal.sleep(0.01)
  end
end

-- It reads its tracker file again.
function Tracker:reload() self.process:kill(1) end

-- -- clients: every command is a method, called through the control socket

local Client = {}
local methods = setmetatable({}, { __index = Program })
Client.__index = function(client, key)
  if methods[key] ~= nil then return methods[key] end
  return function(self, ...) return self:call(key, ...) end
end

local Job = {}
local job_methods = { wait = true, pause = true, resume = true, cancel = true, limit = true, peers = true, explain = true }

Job.__index = function(job, key)
  if job_methods[key] then
    return function(self, ...) return self.client:call("job_" .. key, self, ...) end
  end
  local info = job.client:call("job_info", job)
  return info and info[key]
end
Job.__tostring = function(job) return ("job %d of %s"):format(job.id, job.client.name) end

-- What came over the socket: jobs become proxies of that client's jobs.
local function unwrap(client, v)
  if type(v) == "userdata" and (getmetatable(v) or {}).__name == "shoal.job" then
    return setmetatable({ client = client, id = v.id }, Job)
  elseif type(v) == "table" then
    for k, item in pairs(v) do v[k] = unwrap(client, item) end
  end
  return v
end

local function wrap(v)
  if type(v) ~= "table" then return v end
  if getmetatable(v) == Job then return { ["$job"] = rawget(v, "id") } end
  local out = {}
  for k, item in pairs(v) do out[k] = wrap(item) end
  return out
end

function methods:launch_client()
  local argv = table.move(self.opts.before or {}, 1, #(self.opts.before or {}), 1, {})
  for _, word in ipairs{ binary "shoal", "--control", self.socket, "--no-input", "--auto-login=yes", "--data", self.dir .. "/data",
    "--log-file", self.log } do argv[#argv + 1] = word end
  if self.cluster.plaintext then argv[#argv + 1] = "--plaintext" end
  for _, word in ipairs(self.opts.args or {}) do argv[#argv + 1] = word end -- further options
  argv[#argv + 1] = self.opts.listen or "127.0.0.1:0"
  argv[#argv + 1] = self.cluster:info_for(self.name, self.opts.trackers)
  self:launch(argv)
end

-- Waits until it answers on its control socket.
function methods:ready(seconds)
  local deadline = proc.mono() + (seconds or 20)
  repeat
    self.connection = proc.connect(self.socket) or false
    if not self.connection then
      if not self.process:alive() then error(self.name .. " ended at its start", 0) end
      if proc.mono() > deadline then error(("%s does not answer after %g s"):format(self.name, seconds or 20), 0) end
      shoal.sleep(0.01)
    end
  until self.connection
  local status = assert(self:call("status"))
  self.addr = status.addr
  return self
end

function methods:start()
  self:launch_client()
  if self.opts.wait == false then return end
  self:ready()
  if self.opts.login == false then return end
  if not self.registered then
    assert(self:call("create_user", self.user, self.password))
    self.registered = true
  end
  assert(self:call("login", self.user, self.password))
end

-- A call whose answer is taken later: methods:take(id).
function methods:post(name, ...)
  local args = table.pack(...)
  local parts = {}
  for i = 1, args.n do parts[i] = args[i] == nil and "null" or shoal.json.encode(wrap(args[i])) end
  if not self.connection then error(("%s is not running: %s"):format(self.name, name), 3) end
  self.last_id = (self.last_id or 0) + 1
  local id = self.last_id
  local line = ('{"id":%d,"call":%s,"args":[%s]}'):format(id, shoal.json.encode(name), table.concat(parts, ","))
  if not self.connection:send(line) then error(("%s is gone: %s"):format(self.name, name), 0) end
  self.posted = name
  return id
end

-- One after the other, in the order of the posts.
function methods:take(id)
  local name = self.posted
  while true do
    local text, why = self.connection:receive(CALL_SECONDS)
    if not text then error(("%s: no answer to %s: %s"):format(self.name, name, why), 0) end
    local answer = assert(shoal.json.decode(text))
    if answer.id == id then
      if answer.err then
        if answer.err.code == "usage" and answer.err.message:find("argument", 1, true) then
          error(name .. ": " .. answer.err.message, 3)
        end
        return nil, pack_error(unwrap(self, answer.err))
      end
      return unwrap(self, answer.job ~= nil and answer.job or answer.value)
    end
  end
end

function methods:call(name, ...)
  return self:take(self:post(name, ...))
end

-- -- clusters

local Cluster = {}
Cluster.__index = Cluster

function Cluster:file(name, size, seed)
  local folder = name:match("^(.*)/")
  if folder then proc.mkdir(self.dir .. "/" .. folder) end
  return proc.random_file(self.dir .. "/" .. name, size, seed or #name + size)
end

function Cluster:client(name, opts)
  opts = opts or {}
  local dir = self.dir .. "/" .. name
  proc.mkdir(dir)
  local client = setmetatable({ name = name, user = opts.user or name, password = opts.password or "pw-" .. name, dir = dir,
    socket = dir .. "/ctl", log = dir .. "/log", opts = opts, cluster = self, clean_code = 143,
    -- so that an unset field is no command
    addr = false, process = false, connection = false, running = false, stopping = false, registered = false, last_id = 0,
    posted = "" },
    Client)
  self.programs[#self.programs + 1] = client
  rawset(self, name, client)
  client:start()
  return client
end

-- The tracker file of one program: a tracker's id, or a client's name. With faults=true every way to another program is
-- a route of its own through a network that can be broken. `ids`: these trackers, in this order; usual: all.
function Cluster:info_for(who, ids)
  if not self.net and not ids then return self.tracker_info end
  local path = ("%s/%s.info"):format(self.dir, who)
  local f = assert(io.open(path, "w"))
  for i = 1, #(ids or self.trackers) do
    local tracker = self.trackers[ids and ids[i] or i]
    local port = tracker.port
    if self.net and tracker.id ~= who then
      local key = who .. ">" .. tracker.id
      self.routes[key] = self.routes[key] or self.net:add(port)
      port = self.routes[key]
    end
    f:write(("%s:%d  %d\n"):format(self.host, port, tracker.id))
  end
  f:close()
  return path
end

-- Both ways between each of `left` and each of `right`: ids of trackers and names of clients, one or a list.
local function set_routes(c, mode, left, right)
  if not c.net then error("the cluster needs faults = true", 3) end
  if type(left) ~= "table" then left = { left } end
  if type(right) ~= "table" then right = { right } end
  local n = 0
  for _, a in ipairs(left) do
    for _, b in ipairs(right) do
      for _, key in ipairs{ a .. ">" .. b, b .. ">" .. a } do
        if c.routes[key] then c.net:set(c.routes[key], mode) n = n + 1 end
      end
    end
  end
  if n == 0 then error(("there is no way between %s and %s"):format(show(left), show(right)), 3) end
end

function Cluster:cut(left, right) set_routes(self, "cut", left, right) end   -- connections are reset, new ones too
function Cluster:hold(left, right) set_routes(self, "hold", left, right) end -- packets get lost, nobody is told
function Cluster:mute(left, right) set_routes(self, "mute", left, right) end -- only what the one who dialled says gets through
function Cluster:heal(left, right)
  if left ~= nil then return set_routes(self, "pass", left, right) end
  for _, port in pairs(self.routes) do self.net:set(port, "pass") end
end

-- The words that start a client of this cluster by hand, with a folder of its own.
function Cluster:command(name)
  local dir = self.dir .. "/" .. name
  proc.mkdir(dir)
  return { binary "shoal", "--data", dir .. "/data", "127.0.0.1:0", self.tracker_info }
end

-- A tracker of the cluster, not started. It is in the tracker file of the others only if who makes it writes it there.
function Cluster:tracker(id, port)
  local dir = ("%s/tracker-%d-%d"):format(self.dir, id, port)
  proc.mkdir(dir)
  local tracker = setmetatable({ id = id, name = "tracker " .. id, port = port, addr = self.host .. ":" .. port, dir = dir,
    log = dir .. "/log", cluster = self, clean_code = 0 }, Tracker)
  self.programs[#self.programs + 1] = tracker
  return tracker
end

-- Ports that nobody uses.
function Cluster:free_ports(n) return proc.free_ports(n) end

local function new_cluster(t, opts)
  local n = opts.trackers or 1
  local c = setmetatable({ dir = proc.temp_folder("shoal-test"), programs = {}, trackers = {}, host = opts.host or "127.0.0.1",
    plaintext = opts.plaintext or false, net = opts.faults and proc.network() or false, routes = {},
    tracker_args = opts.tracker_args or {} }, Cluster)
  t.clusters[#t.clusters + 1] = c
  c.tracker_info = c.dir .. "/tracker_info.txt"
  local f = assert(io.open(c.tracker_info, "w"))
  for i, port in ipairs(proc.free_ports(n)) do
    local tracker = c:tracker(i, port)
    c.trackers[i] = tracker
    f:write(tracker.addr, "  ", i, "\n")
  end
  f:close()
  for i = 1, opts.start or n do c.trackers[i]:start() end
  for _, peer in ipairs(opts.peers or {}) do
    if type(peer) == "table" then c:client(peer.name, peer) else c:client(peer) end
  end
  return c
end

-- Ends everything; what ended by itself, or badly, is told.
local function end_cluster(c)
  local complaints = {}
  for _, p in ipairs(c.programs) do
    if p.running and not p.process:alive() then
      complaints[#complaints + 1] = ("%s ended by itself, with code %d"):format(p.name, p.process:wait(1))
      p:forget()
    end
  end
  for _, p in ipairs(c.programs) do p:term() end
  for _, p in ipairs(c.programs) do
    local ok, why = pcall(p.join, p)
    if not ok then complaints[#complaints + 1] = why end
  end
  if c.net then c.net:close() end
  return complaints
end

-- -- what a case may say

local function new_t()
  local t = { clusters = {} }

  function t.cluster(opts) return new_cluster(t, opts or {}) end

  -- A value; its error ends the case.
  function t.ok(value, err, ...)
    if not value then error("not ok: " .. show(err), 2) end
    return value, err, ...
  end

  function t.eq(got, want, hint)
    if not same(got, want) then
      error(("got %s, not %s%s"):format(show(got), show(want), hint and ": " .. tostring(hint) or ""), 2)
    end
    return got
  end

  -- A refusal with that code: t.err("denied", c.bob:list_requests("g"))
  function t.err(code, value, err)
    if value then error(("no error, but %s; wanted '%s'"):format(show(value), code), 2) end
    if type(err) ~= "table" or err.code ~= code then error(("error %s, not '%s'"):format(show(err), code), 2) end
    return err
  end

  function t.match(text, pattern)
    if not tostring(text):find(pattern) then error(("%s does not match '%s'"):format(show(text), pattern), 2) end
  end

  -- Until it is true; a deadline, never a delay.
  function t.eventually(fn, seconds)
    local deadline = proc.mono() + (seconds or 10)
    while true do
      local value = fn()
      if value then return value end
      if proc.mono() > deadline then error(("not true within %g s"):format(seconds or 10), 2) end
      shoal.sleep(0.02)
    end
  end

  function t.file(size, seed)
    t.folder = t.folder or proc.temp_folder("shoal-test")
    t.nfiles = (t.nfiles or 0) + 1
    return proc.random_file(("%s/file-%d"):format(t.folder, t.nfiles), size, seed or t.nfiles)
  end

  function t.skip(reason) error({ skip = reason or "" }, 0) end
  function t.todo(reason) t.todo_reason = reason or "" end
  return t
end

local function print_logs(t)
  for _, c in ipairs(t.clusters) do
    for _, p in ipairs(c.programs) do
      print(("# -- %s: %s"):format(p.name, p.log))
      for _, line in ipairs(tail(p.log, 40)) do print("#    " .. line) end
    end
  end
end

local function clean(t, keep)
  keep = keep or (os.getenv("KEEP") or "") ~= ""
  local folders = { t.folder }
  for _, c in ipairs(t.clusters) do folders[#folders + 1] = c.dir end
  for _, folder in ipairs(folders) do
    if keep then print("# kept: " .. folder) else proc.remove_tree(folder) end
  end
end

function T.case(name, fn)
  local wanted = os.getenv("SHOAL_TEST_CASE")
  if wanted and not name:find(wanted, 1, true) then return end
  if proc.interrupted() then return end
  local t = new_t()
  count = count + 1
  local began = proc.mono()
  local ok, why = xpcall(fn, function(e)
    return type(e) == "table" and e.skip and e or debug.traceback(tostring(e), 2)
  end, t)
  local skipped = not ok and type(why) == "table" and why.skip
  local complaints = {}
  for _, c in ipairs(t.clusters) do
    for _, line in ipairs(end_cluster(c)) do complaints[#complaints + 1] = line end
  end
  if ok and #complaints > 0 then
    ok, why = false, table.concat(complaints, "\n")
    complaints = {}
  end
  if skipped then
    print(("ok %d - %s # SKIP %s"):format(count, name, skipped))
  elseif ok then
    print(("ok %d - %s # %.1f s"):format(count, name, proc.mono() - began))
  else
    print(("not ok %d - %s%s"):format(count, name, t.todo_reason and " # TODO " .. t.todo_reason or ""))
    for line in (tostring(why) .. "\n" .. table.concat(complaints, "\n")):gmatch("[^\n]+") do print("# " .. line) end
    print_logs(t)
    if not t.todo_reason then failed = failed + 1 end
  end
  clean(t, not ok and not skipped and t.keep_failed) -- t.keep_failed = true: what a failure leaves is worth a look
  io.stdout:flush()
end

-- The runner's: prints the plan; how many cases failed.
function T.finish()
  print("1.." .. count)
  io.stdout:flush()
  if count == 0 then
    print("# no case was run")
    return 1
  end
  return failed
end

return T
