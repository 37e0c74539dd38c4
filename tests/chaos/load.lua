-- Clients that give commands at random, and the history of what they were told.
--
-- Each client is one user and gives one command at a time. An entry of the history:
--   { n, client, op, args, t0, t1, outcome = "ok" | "fail" | "unknown", stamp, code, message }
-- A failure is "unknown" as well if the connection broke meanwhile: the command may have had its effect at a tracker whose
-- answer was lost, before another one refused it. What a client must see of its own is checked with each list it gets.
local proc = require "shoal.proc"

local Load = {}
Load.__index = Load
local REFUSED = { auth = true, denied = true, not_found = true, exists = true, conflict = true, usage = true, quota = true }
Load.HOT_GROUPS, Load.HOT_USERS = 3, 3
Load.SAME = "same.bin" -- a file with the same content, whoever shares it; nobody stops it
Load.HALL, Load.VISITORS = "hall", 2 -- who ask to be let in there, and leave, while all others may answer
Load.ROLES = { "admin", "admin", "member", "reader" }
local GROUPS, RECENT = 2, 4 -- few groups and the latest requests, so that several answer the same one

function Load.new(lab, log)
  local load = setmetatable({ lab = lab, log = log, history = {}, groups = {}, askers = {}, readers = {}, clients = {}, broken = {},
    slowest = {} }, Load)
  for _, name in ipairs(lab.names) do
    local c = { name = name, peer = lab.cluster[name], made = 0, files = 0, own = {}, mine = {}, shares = {}, hot = {}, lost = {},
      lacks = false, queue = {}, doubt = {} }
    assert(c.peer:call("events"))
    load.clients[#load.clients + 1] = c
    load.clients[name] = c
  end
  for i = #load.clients - Load.VISITORS + 1, #load.clients do load.clients[i].visitor = true end
  return load
end

function Load:complain(...)
  local line = string.format(...)
  self.broken[#self.broken + 1] = line
  self.log("broken: " .. line)
end

-- -- what a client must see of its own

-- mine[group]: "member" or "asked" when that was acknowledged and nothing else tried since; "left" likewise.
-- shares[group][hash]: "there" or "gone" likewise.
local before, after = {}, {}

function after.create_group(c, group) c.mine[group] = "member" end
function before.join_group(c, group) c.mine[group] = nil end
function after.join_group(c, group) c.mine[group] = "asked" end
function before.leave_group(c, group) c.mine[group], c.shares[group] = nil, {} end
function after.leave_group(c, group) c.mine[group] = "left" end
function before.upload_file(c, group, _, hash) c.shares[group] = c.shares[group] or {} c.shares[group][hash] = nil end
function after.upload_file(c, group, name, hash) c.shares[group][hash] = name ~= Load.SAME and "there" or nil end
function before.stop_share(c, group, _, hash) before.upload_file(c, group, _, hash) end
function after.stop_share(c, group, _, hash) c.shares[group][hash] = "gone" end

local function check_groups(load, c, rows)
  local role = {}
  -- A name that several want may pass to an earlier claim: his is then among those that show as an alias.
  for _, row in ipairs(rows) do
    local name = row.name:match("^hot%d") or row.name
    if not role[name] or role[name] == "" then role[name] = row.role end
  end
  for group, state in pairs(c.mine) do
    local r = role[group]
    if state == "member" and (r == nil or r == "" or r == "asked") then
      load:complain("%s made %s and does not see that he is in it, but '%s'", c.name, group, tostring(r))
    elseif state == "asked" and r == "" then
      load:complain("%s asked to join %s and does not see it", c.name, group)
    elseif state == "left" and r and r ~= "" and not c.doubt[group] then
      load:complain("%s has left %s and sees himself as '%s'", c.name, group, r)
    end
  end
end

local function check_files(load, c, rows, group)
  local there = {}
  for _, row in ipairs(rows) do there[row.hash] = row.name end
  for hash, state in pairs(c.shares[group] or {}) do
    if state == "there" and not there[hash] and not load.readers[group .. " " .. c.name] then
      load:complain("%s has shared %.12s in %s and does not see it", c.name, hash, group)
    elseif state == "gone" and there[hash] then
      load:complain("%s has stopped %s in %s and still sees it", c.name, there[hash], group)
    end
  end
end

-- -- one command

-- What all may know of each other: who has asked to join, and who may answer that.
local function note(load, c, op, args, e)
  local group = args[1]
  if op == "join_group" and not e then
    load.askers[group] = load.askers[group] or {}
    table.insert(load.askers[group], c.name)
  elseif op == "set_role" and not e and args[3] == "reader" then
    load.readers[group .. " " .. args[2]] = true -- maybe; what he shares there is not listed from now on
  elseif e and e.outcome == "ok" and (op == "set_role" and args[3] == "admin" or op == "transfer_group") then
    table.insert(load.clients[args[2]].own, group)
  end
end

local function stamp_of(value)
  local ok, text = pcall(function() return value.text end)
  return ok and text or nil
end

local function post(load, c, op, args, words)
  if before[op] then before[op](c, table.unpack(args)) end
  note(load, c, op, args)
  local e = { n = #load.history + 1, client = c.name, op = op, args = args, t0 = proc.mono() }
  load.history[e.n] = e
  c.entry = e
  c.waits = c.peer:post(op, table.unpack(words or args))
end

-- A request whose answer may have been lost may be there twice, and a leave sees only those that its tracker has.
local function doubt(c, e, err)
  if e.op ~= "join_group" then return end
  c.joined, c.joined_at = e.args[1], e.t1
  local last = c.lost[#c.lost]
  if err or last and last > e.t0 - 1 then c.doubt[e.args[1]] = true end
end

local function finish(load, c, value, err)
  local e = c.entry
  c.entry, c.waits = nil, nil
  e.t1 = proc.mono()
  doubt(c, e, err)
  local took = e.t1 - e.t0
  if took > (load.slowest[e.op] or 0) then load.slowest[e.op] = took end
  if not err then
    e.outcome, e.stamp = "ok", stamp_of(value)
    note(load, c, e.op, e.args, e)
    if after[e.op] then after[e.op](c, table.unpack(e.args)) end
    if e.op == "create_group" then load.groups[#load.groups + 1] = e.args[1] end
    if e.op == "list_groups" and not c.lacks then check_groups(load, c, value) end
    if e.op == "list_files" and not c.lacks then check_files(load, c, value, e.args[1]) end
    return
  end
  e.outcome, e.code, e.message = REFUSED[err.code] and "fail" or "unknown", err.code, err.message
  local usage = err.code == "usage" and e.op ~= "set_role" -- of the owner: whoever gives roles may not know who that is
  if err.code == "internal" or err.code == "protocol" or usage then
    load:complain("%s: %s %s: %s", c.name, e.op, e.args[1] or "", err.message)
  end
  if err.code == "auth" and e.op ~= "login" then table.insert(c.queue, 1, { "login", { c.name }, { c.name, c.peer.password } }) end
end

local function on_event(load, c, ev)
  if ev.event == "tracker.lost" or ev.event == "tracker.connected" then c.lost[#c.lost + 1] = proc.mono() end
  if c.joined and proc.mono() - c.joined_at < 1 then c.doubt[c.joined] = true end
  if ev.event == "tracker.lacks" then c.lacks = true end
  if ev.event:find("^tracker") or ev.event == "conflict" or ev.event:find("^session") then
    load.log(("%s: %s %s %s"):format(c.name, ev.event, tostring(ev.tracker or ""), ev.text or ""))
  end
end

-- Takes what a client has been told meanwhile; true if there was something.
local function hear(load, c)
  local text, why = c.peer.connection:receive(0)
  if not text then
    if why == "closed" then error(c.name .. " has ended", 0) end
    return false
  end
  local answer = assert(shoal.json.decode(text))
  if answer.event then
    on_event(load, c, answer)
  elseif c.waits and answer.id == c.waits then
    if answer.job ~= nil then
      c.waits = c.peer:post("job_wait", { ["$job"] = answer.job.id })
    else
      finish(load, c, answer.value, answer.err)
    end
  end
  return true
end

-- -- which one

local function pick(list) return list[math.random(#list)] end

local function joined(c)
  local out = {}
  for group in pairs(c.mine) do if not group:find("^hot") and group ~= Load.HALL then out[#out + 1] = group end end
  table.sort(out)
  return out
end

local choices = {}

function choices.create_group(_, c)
  if c.made >= GROUPS then return end
  c.made = c.made + 1
  local group = ("g-%s-%d"):format(c.name, c.made)
  c.own[#c.own + 1] = group
  return { group }
end

-- A name that all of them want, once.
function choices.hot_group(_, c)
  local k = math.random(Load.HOT_GROUPS)
  if c.hot[k] then return end
  c.hot[k] = true
  return { "hot" .. k }, nil, "create_group"
end

function choices.create_user(_, c)
  local k = -math.random(Load.HOT_USERS)
  if c.hot[k] then return end
  c.hot[k] = true
  return { "zoe" .. -k }, { "zoe" .. -k, "pw-" .. c.name }
end

local function some_group(load)
  local group = #load.groups > 0 and pick(load.groups)
  return group and not group:find("^hot") and group ~= Load.HALL and group
end

function choices.join_group(load, c)
  local group = some_group(load)
  if group and c.mine[group] ~= "member" then return { group } end
end

function choices.accept_request(load, c)
  local group = #c.own > 0 and math.random(8) > 1 and pick(c.own) or some_group(load)
  local askers = load.askers[group]
  local user = askers and math.random(8) > 1 and askers[math.random(math.max(1, #askers - RECENT), #askers)] or pick(load.lab.names)
  if group and user ~= c.name then return { group, user } end
end

function choices.leave_group(_, c)
  local groups = joined(c)
  if #groups > 0 then return { pick(groups) } end
end

function choices.transfer_group(load, c)
  if #c.own == 0 then return end
  local user = pick(load.lab.names)
  if user ~= c.name then return { pick(c.own), user } end
end

function choices.set_role(load, c)
  local group = #c.own > 0 and pick(c.own)
  local askers = load.askers[group]
  if askers then return { group, pick(askers), pick(Load.ROLES) } end
end

function choices.upload_file(load, c)
  local groups = joined(c)
  if #groups == 0 then return end
  c.files = c.files + 1
  local kind = math.random(6)
  local name = kind == 1 and "hot.bin" or kind == 2 and Load.SAME or ("f-%s-%d"):format(c.name, c.files)
  local path = ("%s/%d/%s"):format(c.peer.dir, c.files, name)
  proc.mkdir(("%s/%d"):format(c.peer.dir, c.files))
  load.seed = (load.seed or 0) + 1
  if name == Load.SAME then proc.random_file(path, 1000, 0) else proc.random_file(path, math.random(1, 3000), load.seed) end
  local group, hash = pick(groups), shoal.hash(path)
  return { group, name, hash }, { path, group }
end

function choices.stop_share(load, c)
  local list = {}
  for group, files in pairs(c.shares) do
    for hash, state in pairs(files) do if state == "there" then list[#list + 1] = { group, hash } end end
  end
  if #list == 0 then return end
  table.sort(list, function(a, b) return a[2] < b[2] end)
  local group, hash = table.unpack(pick(list))
  for _, e in ipairs(load.history) do
    -- One that shares a name goes by its alias, which its user does not know.
    if e.op == "upload_file" and e.args[3] == hash and e.args[2] ~= "hot.bin" then
      return { group, e.args[2], hash }, { group, e.args[2] }
    end
  end
end

function choices.logout(_, c)
  c.queue[1] = { "login", { c.name }, { c.name, c.peer.password } }
  return {}
end

-- Many versions of few memberships: asked, withdrawn, accepted here and there.
function choices.hall(load, c)
  if not c.visitor then return { Load.HALL, load.clients[#load.clients - math.random(0, Load.VISITORS - 1)].name }, nil, "accept_request" end
  local state = c.mine[Load.HALL]
  return { Load.HALL }, nil, (state == nil or state == "left") and "join_group" or "leave_group"
end

function choices.list_groups() return {} end

function choices.list_files(_, c)
  local groups = joined(c)
  if #groups == 0 then return end
  local group = pick(groups)
  return { group }, { group, { all = true } }
end

function choices.use_tracker(load) return { math.random(#load.lab.trackers) } end

local WEIGHTS = { create_group = 6, hot_group = 2, create_user = 2, join_group = 14, accept_request = 24, leave_group = 7,
  transfer_group = 3, set_role = 8, upload_file = 12, stop_share = 6, logout = 2, hall = 40, list_groups = 14, list_files = 10, use_tracker = 3 }
local bag = {}
for op, n in pairs(WEIGHTS) do for _ = 1, n do bag[#bag + 1] = op end end
table.sort(bag)

local function next_command(load, c)
  local queued = table.remove(c.queue, 1)
  if queued then return post(load, c, table.unpack(queued)) end
  for _ = 1, 20 do
    local op = pick(bag)
    local args, words, name = choices[op](load, c)
    if args then return post(load, c, name or op, args, words) end
  end
end

-- -- the loop

-- One command that is done before anything else.
function Load:now(c, op, args)
  post(self, c, op, args)
  while c.entry do
    if not hear(self, c) then shoal.sleep(0.002) end
  end
  if self.history[#self.history].outcome ~= "ok" then
    error(("%s %s: %s"):format(c.name, op, self.history[#self.history].message), 0)
  end
end

-- While all is well: the hall, in which all but the visitors may answer requests.
function Load:open_hall()
  local owner = self.clients[1]
  for _, c in ipairs(self.clients) do self:now(c, "use_tracker", { 1 }) end
  self:now(owner, "create_group", { Load.HALL })
  for _, c in ipairs(self.clients) do
    if c ~= owner and not c.visitor then
      self:now(c, "join_group", { Load.HALL })
      self:now(owner, "accept_request", { Load.HALL, c.name, "admin" })
    end
  end
  for i, c in ipairs(self.clients) do self:now(c, "use_tracker", { i % #self.lab.trackers + 1 }) end
end

-- One round: what has come is heard, who is free gives a command. `pace`: seconds between two commands of a client.
function Load:step(busy, pace)
  local heard = false
  for _, c in ipairs(self.clients) do
    while hear(self, c) do heard = true end
    if not c.entry and (busy or #c.queue > 0) and proc.mono() >= (c.next or 0) then
      next_command(self, c)
      c.next = proc.mono() + math.random() * 2 * pace
    end
  end
  return heard
end

function Load:open()
  for _, c in ipairs(self.clients) do if c.entry or #c.queue > 0 then return c.entry or c.queue[1] end end
end

-- The connection of its client broke, or had just been made, while it was under way.
local function shaken(load, e)
  for _, at in ipairs(load.clients[e.client].lost) do
    if at > e.t0 - 1 and at < e.t1 + 1 then return true end
  end
  return false
end

-- After the run: which failures may have had an effect, and what may have had it twice.
function Load:judge()
  for _, e in ipairs(self.history) do
    e.shaken = shaken(self, e)
    if e.outcome == "fail" and e.shaken then e.outcome = "unknown" end
  end
end

function Load:write(path)
  local f = assert(io.open(path, "w"))
  for _, e in ipairs(self.history) do f:write(shoal.json.encode(e), "\n") end
  f:close()
end

return Load
