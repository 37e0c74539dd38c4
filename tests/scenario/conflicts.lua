-- Two trackers that do not hear each other give one name to two users, groups and files. Afterwards both sides keep what
-- they have, the later one under an alias that works wherever a name does, and is told.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function move(t, client, id)
  t.eventually(function() return client:use_tracker(id) end, 10)
  t.eventually(function()
    local st = client:status()
    return st and st.tracker == id and st.logged_in
  end, 10)
end

local function conflict(t, client, kind, has_name)
  for _, row in ipairs(t.ok(client:list_conflicts())) do
    if row.kind == kind and (row.shown == row.name) == has_name then return row end
  end
end

local function kinds(rows)
  local out = {}
  for _, row in ipairs(rows) do out[#out + 1] = row.kind end
  return table.concat(out, " ")
end

-- alice works on tracker 1, bob on tracker 2; both are members of 'team'.
local function apart(t)
  local c = t.cluster{ trackers = 2, faults = true, peers = { "alice", "bob" } }
  move(t, c.alice, 1)
  move(t, c.bob, 2)
  local s = t.ok(c.alice:create_group("team"))
  t.ok(c.alice:wait_synced(s))
  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("team"))))
  t.ok(c.alice:wait_synced(t.ok(c.alice:accept_request("team", "bob"))))
  c:cut(1, 2)
  return c
end

T.case("a user name", function(t)
  local c = apart(t)
  local first = c:client("first", { user = "zoe", password = "one", login = false })
  move(t, c.alice, 1)
  t.eventually(function() return first:use_tracker(1) end, 10)
  t.ok(first:create_user("zoe", "one"))
  local second = c:client("second", { user = "zoe", password = "two", login = false })
  t.eventually(function() return second:use_tracker(2) end, 10)
  t.ok(second:create_user("zoe", "two"))
  t.ok(first:login("zoe", "one"))
  t.ok(second:login("zoe", "two"))
  t.eq(t.ok(second:whoami()).user, "zoe")
  t.ok(second:create_group("zoes"))
  c:heal()
  local alias = t.eventually(function()
    local who = second:whoami()
    return who and who.user ~= "zoe" and who.user
  end, 15)
  t.match(alias, "^zoe~[a-z2-7][a-z2-7][a-z2-7][a-z2-7][a-z2-7][a-z2-7]$")
  t.eq(t.ok(first:whoami()).user, "zoe")
  -- listed on both sides, for him
  t.eventually(function() return kinds(t.ok(second:list_conflicts())):find("user") end, 5)
  -- what he made is his still, under the name that he shows as
  t.eventually(function() return #(c.alice:list_groups("zoes") or {}) == 1 end, 5)
  t.eq(t.ok(c.alice:list_groups("zoes"))[1].owner, alias)
  -- the alias is a name: in a login, and to accept and remove him
  t.ok(second:join_group("team"))
  t.ok(first:join_group("team"))
  t.eventually(function() return #(c.alice:list_requests("team") or {}) == 2 end, 10)
  t.ok(c.alice:accept_request("team", alias))
  t.ok(c.alice:reject_request("team", "zoe", "the other one is meant"))
  t.eventually(function() return #(second:list_members("team") or {}) == 3 end, 10)
  t.err("denied", first:list_members("team"))
  t.ok(c.alice:transfer_group("team", alias))
  t.eventually(function() return (second:list_groups("team") or {})[1].owner == alias end, 10)
  t.ok(second:transfer_group("team", "alice"))
  t.eventually(function() return (c.alice:list_groups("team") or {})[1].owner == "alice" end, 10)
  t.ok(c.alice:remove_member("team", alias))
  t.ok(second:logout())
  t.ok(second:login(alias, "two"))
  t.ok(second:logout())
  t.ok(second:login("zoe", "two")) -- her password finds her under the plain name too
  t.eq(t.ok(second:whoami()).user, alias)
  t.err("auth", second:login("zoe", "three"))
  -- the winner has an alias as well; nobody can take one that looks like it
  local fresh = c:client("fresh", { login = false })
  t.err("usage", fresh:create_user("ann~abcdef", "pw"))
  t.err("exists", fresh:create_user("zoe", "pw"))
end)

T.case("a group name", function(t)
  local c = apart(t)
  t.ok(c.alice:create_group("club"))
  t.ok(c.bob:create_group("club"))
  c:heal()
  t.eventually(function() return conflict(t, c.bob, "group", false) end, 15)
  local mine, alices = conflict(t, c.bob, "group", false), conflict(t, c.bob, "group", true)
  t.eq(mine.name, "club")
  t.match(mine.shown, "^club~")
  t.match(mine.text, "claimed earlier")
  t.eq(alices.shown, "club")
  t.eventually(function() return conflict(t, c.alice, "group", false) end, 10)
  -- every command that takes a group takes the alias, on either tracker
  local alias = mine.shown
  t.eq(t.ok(c.bob:list_groups("mine"))[1].name, alias)
  t.eventually(function() return c.alice:join_group(alias) end, 10)
  t.eventually(function() return #(c.bob:list_requests(alias) or {}) == 1 end, 10)
  t.ok(c.bob:accept_request(alias, "alice"))
  t.eventually(function() return #(c.alice:list_members(alias) or {}) == 2 end, 10)
  t.eq(#t.ok(c.alice:list_members("club")), 1)
  t.ok(c.bob:set_role(alias, "alice", "admin"))
  t.eventually(function() return (c.alice:list_members(alias) or {})[2].role == "admin" end, 10)
  local path = c:file("map.bin", 700000)
  t.ok(c.bob:upload_file(path, alias):wait(20))
  t.eventually(function() return #(c.alice:list_files(alias) or {}) == 1 end, 10)
  local res = t.ok(c.alice:download_file(alias, "map.bin", c.alice.dir .. "/"):wait(20))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  t.eq(#t.ok(c.alice:list_files("club")), 0)
  t.ok(c.bob:stop_share(alias, "map.bin"))
  t.ok(c.alice:leave_group(alias))
  t.err("usage", c.alice:create_group("hall~abcdef"))
  -- the first claim ends: the name is bob's again, and he is told once
  c.bob:list_conflicts()
  t.ok(c.alice:delete_group("club", { confirm = "club" }))
  t.eventually(function() return (c.bob:list_groups("club") or {})[1].name == "club" end, 10)
  local text = t.eventually(function()
    for _, row in ipairs(t.ok(c.bob:list_conflicts())) do
      if row.kind == "name-won-back-group" then return row.text end
    end
  end, 10)
  t.match(text, "its own again: it shows as 'club'")
  t.eq(kinds(t.ok(c.bob:list_conflicts())), "")
end)

T.case("a file name", function(t)
  local c = apart(t)
  local one, two = c:file("a/plan.pdf", 600000, 1), c:file("b/plan.pdf", 700000, 2)
  t.ok(c.alice:upload_file(one, "team"):wait(20))
  t.ok(c.bob:upload_file(two, "team"):wait(20))
  c:heal()
  t.eventually(function() return #(c.alice:list_files("team") or {}) == 2 and #(c.bob:list_files("team") or {}) == 2 end, 15)
  local alias
  for _, f in ipairs(t.ok(c.alice:list_files("team"))) do
    if f.name ~= "plan.pdf" then alias = f.name end
  end
  t.match(alias, "^plan~[a-z2-7][a-z2-7][a-z2-7][a-z2-7][a-z2-7][a-z2-7]%.pdf$")
  t.eventually(function() return conflict(t, c.alice, "file", false) and conflict(t, c.bob, "file", false) end, 10)
  t.eq(conflict(t, c.alice, "file", false).shown, alias)
  -- both can be fetched, each by its own name
  t.eq(shoal.hash(t.ok(c.bob:download_file("team", "plan.pdf", c.bob.dir .. "/"):wait(20)).path), shoal.hash(one))
  t.eq(shoal.hash(t.ok(c.alice:download_file("team", alias, c.alice.dir .. "/"):wait(20)).path), shoal.hash(two))
  t.err("usage", c.alice:upload_file(c:file("c/x~abcdef.txt", 10), "team"):wait(20))
  -- stopped by its alias, it is gone for both
  t.ok(c.alice:stop_share("team", alias))
  t.ok(c.bob:stop_share("team", alias))
  t.eventually(function()
    local files = c.alice:list_files("team", { all = true })
    return files and #files == 1 and files[1].name == "plan.pdf"
  end, 10)
end)

T.case("the loser hears of it at the next login", function(t)
  local c = apart(t)
  t.ok(c.alice:create_group("club"))
  t.ok(c.bob:create_group("club"))
  t.ok(c.bob:logout())
  c.bob:stop()
  c:heal()
  t.eventually(function() return conflict(t, c.alice, "group", false) end, 15)
  c.bob.opts.login = false
  c.bob:start()
  local ear = t.ok(proc.connect(c.bob.socket))
  ear:send('{"id":1,"call":"events"}')
  t.ok(ear:receive(10))
  t.eventually(function() return c.bob:login("bob", c.bob.password) end, 10)
  local ev
  repeat ev = t.ok(shoal.json.decode(t.ok(ear:receive(10)))) until ev.event == "conflict"
  ear:close()
  t.eq(ev.kind, "name-lost-group")
  t.match(ev.text, "it shows as 'club~")
  t.eventually(function() return kinds(t.ok(c.bob:list_conflicts())):find("name%-lost%-group") end, 5)
end)
