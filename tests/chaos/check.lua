-- Does what the trackers show in the end follow from what clients were told? Knows the history and the views, nothing
-- of rows, stamps or merging.
local check = {}

local function possible(e) return e.outcome ~= "fail" end
local SAME = "same.bin" -- one content, shared by many, stopped by nobody
local function hot(name) return name:find("^hot") ~= nil end

-- What a stamp says of time: whole, it orders all operations.
local function earlier(a, b)
  local x, y = {}, {}
  for word in a:gmatch("%x+") do x[#x + 1] = tonumber(word, 16) end
  for word in b:gmatch("%x+") do y[#y + 1] = tonumber(word, 16) end
  for i = 1, 4 do
    if x[i] ~= y[i] then return math.ult(x[i], y[i]) end
  end
  return false
end

-- Entries about one group, in the order of their beginning; each client's own are in its own order.
local function by_group(history)
  local groups = {}
  for _, e in ipairs(history) do
    local group = e.args[1]
    if group and e.op ~= "create_user" and e.op ~= "login" and e.op ~= "use_tracker" then
      groups[group] = groups[group] or {}
      table.insert(groups[group], e)
    end
  end
  return groups
end

-- What one user did about being in a group: may he be in it, or waiting; must he?
local function standing(entries, user)
  local s = { may = false, must = false }
  for _, e in ipairs(entries) do
    if e.client == user and possible(e) then
      if e.op == "create_group" or e.op == "join_group" then
        s.may = true
        if e.outcome == "ok" then s.must, s.since, s.made = true, e.t1, e.op == "create_group" end
        if e.outcome ~= "ok" or e.shaken then s.late = true end -- may show after a leave that did not see it
        s.first = math.min(s.first or e.t0, e.t0)
      elseif e.op == "leave_group" then
        s.must, s.left = false, true
        if e.outcome == "ok" and not e.shaken then s.may = s.late or false end
      end
    end
  end
  for _, e in ipairs(entries) do
    if e.op == "accept_request" and e.args[2] == user and possible(e) then
      if s.first and e.t1 >= s.first then s.may_be_member = true end
      if s.must and e.outcome == "ok" and e.t0 > s.since then s.accept = e end
    end
    if e.op == "create_group" and e.client == user and possible(e) then s.may_be_member = true end
    if e.op == "set_role" and e.args[2] == user and e.args[3] == "reader" and possible(e) then s.reader = true end
  end
  return s
end

local function told(world, user, word)
  for _, row in ipairs(world.conflicts[user]) do
    if (row.text .. row.name .. (row.shown or "")):find(word, 1, true) then return true end
  end
  return false
end

local function check_member(world, group, entries, user, say)
  local s, role = standing(entries, user), (world.members[group] or {})[user]
  local asked = (world.requests[group] or {})[user]
  local lacks = world.lacks[user]
  if (role or asked) and not (s.may or lacks) then say("%s is in %s, or waits, and has not asked for it", user, group) end
  if role and not s.may_be_member then say("%s is a member of %s, and nobody accepted him", user, group) end
  if s.must and s.made and not role then say("%s made %s, never left, and is not in it", user, group) end
  if s.must and world.groups[group] and not role and not asked then say("%s asked to join %s: that is lost", user, group) end
  if s.must and s.accept and world.groups[group] and not role and not told(world, s.accept.client, group) then
    say("%s was accepted in %s by %s: that is lost, and nobody was told", user, group, s.accept.client)
  end
  return s
end

local function check_owner(world, group, entries, standings, say)
  local row, members, owners, heirs, left = world.groups[group], world.members[group], 0, {}, false
  for _, role in pairs(members) do if role == "owner" then owners = owners + 1 end end
  if owners ~= 1 or members[row.owner] ~= "owner" then
    say("%s has %d owners; '%s' shows as its owner", group, owners, row.owner)
  end
  local transfers = {}
  for _, e in ipairs(entries) do
    if possible(e) and e.op == "create_group" then heirs[e.client] = true end
    if possible(e) and e.op == "transfer_group" then
      heirs[e.args[2]] = true
      transfers[#transfers + 1] = e
    end
    if possible(e) and e.op == "leave_group" then left = true end
  end
  if not heirs[row.owner] and not left then say("%s belongs to %s, who was never given it", group, row.owner) end
  local e = transfers[1]
  if #transfers == 1 and e.outcome == "ok" and not left and standings[e.args[2]].must and row.owner ~= e.args[2] then
    say("%s was given to %s and belongs to %s", group, e.args[2], row.owner)
  end
end

-- Files are told apart by their hash: no two uploads have the same content.
local function check_files(world, group, entries, standings, say)
  local files, known = world.files[group] or {}, {}
  for _, e in ipairs(entries) do
    if e.op == "upload_file" or e.op == "stop_share" then
      local hash = e.args[3]
      local f = known[hash] or { user = e.client, name = e.args[2], must = false, may = false }
      known[hash] = f
      if e.args[2] == SAME then
        local s = standings[e.client]
        f.may = f.may or possible(e)
        if e.outcome == "ok" and s.must and not s.left and not s.reader and s.made then f.user, f.must = e.client, true end
      elseif e.op == "upload_file" and possible(e) then
        f.may, f.must, f.late = true, e.outcome == "ok", e.outcome ~= "ok" or e.shaken
      elseif e.op == "stop_share" and possible(e) then
        f.must, f.may = false, e.outcome ~= "ok" or e.shaken or f.late
      end
    end
  end
  for hash, f in pairs(known) do
    local s = standings[f.user]
    if f.must and s.must and not s.left and not s.reader and s.made and not files[hash] then
      say("%s shared '%s' in %s: that is lost", f.user, f.name, group)
    end
    if files[hash] and not f.may and not world.lacks[f.user] then say("'%s' in %s was stopped and is there", f.name, group) end
  end
  for hash, name in pairs(files) do
    if not known[hash] then say("nobody has shared '%s' in %s", name, group) end
  end
end

-- Names that several want: each who was told that he has one has a group of it, alone; the others know.
local function check_hot(world, history, say)
  local got, may, first = {}, {}, {}
  for _, e in ipairs(history) do
    if e.op == "create_group" and hot(e.args[1]) and possible(e) then
      may[e.args[1] .. " " .. e.client] = true
      if e.outcome == "ok" then got[e.args[1] .. " " .. e.client] = e end
      local best = first[e.args[1]]
      if e.stamp and (not best or earlier(e.stamp, best.stamp)) then first[e.args[1]] = e end
    end
  end
  for name, row in pairs(world.groups) do
    if hot(name) then
      local key = name:match("^[^~]+") .. " " .. row.owner
      if not may[key] then say("nobody has made %s, which belongs to %s", name, row.owner) end
      -- Whoever was not answered may have been the first.
      if first[name] and first[name].client ~= row.owner and got[key] then
        say("%s belongs to %s: %s was before him", name, row.owner, first[name].client)
      end
      may[key], got[key] = nil, nil
      if name:find("~", 1, true) and not told(world, row.owner, name) then say("%s was not told of %s", row.owner, name) end
    end
  end
  for key in pairs(got) do say("a group is lost: %s", key) end
end

-- world: groups[name] = row, members[group][user] = role, requests[group][user], files[group][hash] = name,
-- conflicts[user] = rows, lacks[user]: was told that a tracker lacks what he did at another. Gives a list of sentences.
function check.run(history, world, users)
  local broken = {}
  local function say(...) broken[#broken + 1] = string.format(...) end
  local groups = by_group(history)
  for group, entries in pairs(groups) do
    if not hot(group) then
      local standings, must = {}, false
      for _, user in ipairs(users) do
        standings[user] = check_member(world, group, entries, user, say)
        must = must or (standings[user].must and standings[user].made)
      end
      if must and not world.groups[group] then say("%s is lost", group) end
      if world.groups[group] and world.members[group] then
        check_owner(world, group, entries, standings, say)
        check_files(world, group, entries, standings, say)
      end
    end
  end
  for name in pairs(world.groups) do
    local made = groups[name]
    if not hot(name) and not made then say("nobody has made %s", name) end
  end
  check_hot(world, history, say)
  return broken
end

return check
