-- What the checker must notice, and what it must let pass: a story that is well, and one change of it at a time.
local check = require "check"

local checker = {}

local function story()
  local history, n = {}, 0
  local function add(client, op, outcome, ...)
    n = n + 1
    history[n] = { n = n, client = client, op = op, args = { ... }, t0 = n, t1 = n + 0.5, outcome = outcome }
  end
  add("ana", "create_group", "ok", "g")
  add("ben", "join_group", "ok", "g")
  add("ana", "accept_request", "ok", "g", "ben")
  add("cho", "join_group", "ok", "g")
  add("ana", "upload_file", "ok", "g", "a.txt", "aa")
  add("ana", "upload_file", "ok", "g", "b.txt", "bb")
  add("ana", "stop_share", "ok", "g", "b.txt", "bb")
  add("ana", "create_group", "ok", "hot1")
  add("ben", "create_group", "ok", "hot1")
  history[8].stamp, history[9].stamp = "9.2.77.1", "a.1.55.1"
  add("ben", "upload_file", "fail", "g", "same.bin", "ee")
  add("ana", "upload_file", "ok", "g", "same.bin", "ee")
  local world = {
    groups = { g = { owner = "ana" }, hot1 = { owner = "ana" }, ["hot1~aaaaaa"] = { owner = "ben" } },
    members = { g = { ana = "owner", ben = "member" } },
    requests = { g = { cho = "cho" } },
    files = { g = { aa = "a.txt", ee = "same.bin" } },
    conflicts = { ana = {}, cho = {}, ben = { { name = "hot1", shown = "hot1~aaaaaa", text = "" } } },
    lacks = {},
  }
  return history, world
end

local USERS = { "ana", "ben", "cho" }

-- A word of the sentence that the checker says, and what is done to the story.
local cases = {
  { "g is lost", function(_, w) w.groups.g, w.members.g = nil, nil end },
  { "is not in it", function(_, w) w.members.g.ana, w.members.g.ben, w.groups.g.owner = nil, "owner", "ben" end },
  { "nobody was told", function(_, w) w.members.g.ben, w.requests.g.ben = nil, "ben" end },
  { "asked to join g: that is lost", function(_, w) w.requests.g.cho = nil end },
  { "nobody accepted him", function(_, w) w.members.g.cho = "member" end },
  { "has not asked for it", function(h) h[2].outcome = "fail" end },
  { "has not asked for it", function(h) h[12] = { client = "cho", op = "leave_group", args = { "g" }, t0 = 20, t1 = 21, outcome = "ok" } end },
  { "2 owners", function(_, w) w.members.g.ben = "owner" end },
  { "shows as its owner", function(_, w) w.groups.g.owner = "cho" end },
  { "never given it", function(_, w) w.groups.g.owner, w.members.g = "ben", { ana = "member", ben = "owner" } end },
  { "was given to ben", function(h)
    h[12] = { client = "ana", op = "transfer_group", args = { "g", "ben" }, t0 = 20, t1 = 21, outcome = "ok" }
  end },
  { "'a.txt' in g: that is lost", function(_, w) w.files.g.aa = nil end },
  { "was stopped and is there", function(_, w) w.files.g.bb = "b.txt" end },
  { "'same.bin' in g: that is lost", function(_, w) w.files.g.ee = nil end },
  { "ben was before him", function(h) h[8].stamp, h[9].stamp = "a.2.77.1", "a.1.55.1" end },
  { "nobody has shared", function(_, w) w.files.g.cc = "c.txt" end },
  { "nobody has made x", function(_, w) w.groups.x = { owner = "ana" } end },
  { "a group is lost: hot1 ben", function(_, w) w.groups["hot1~aaaaaa"] = nil end },
  { "ben was not told", function(_, w) w.conflicts.ben = {} end },
  { "nobody has made hot1", function(_, w) w.groups.hot1.owner = "cho" end },
}

-- What may be, and may not be.
local fine = {
  function() end,
  function(h, w) h[4].outcome = "unknown" w.requests.g.cho = nil end,
  function(h) h[4].outcome = "unknown" end,
  function(h) h[8].outcome, h[8].stamp = "unknown", nil end,
  function(h, w) h[11].outcome = "unknown" w.files.g.ee = nil end,
  function(h, w) h[7].outcome = "unknown" w.files.g.bb = "b.txt" end,
  function(_, w) w.members.g.ben, w.requests.g.ben, w.conflicts.ana = nil, "ben", { { name = "g", text = "" } } end,
}

function checker.test(t)
  for i, change in ipairs(fine) do
    local history, world = story()
    change(history, world)
    t.eq(check.run(history, world, USERS), {}, "story " .. i)
  end
  for _, case in ipairs(cases) do
    local history, world = story()
    case[2](history, world)
    local said = table.concat(check.run(history, world, USERS), "\n")
    if not said:find(case[1], 1, true) then error(("'%s' was not noticed, but: %s"):format(case[1], said), 0) end
  end
end

return checker
