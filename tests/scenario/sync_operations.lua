-- SPEC.md, testing scenario 3: each of the ten operations, given to one tracker, shows on the other.
local T = require "shoal.test"

-- alice talks to tracker 1, bob to tracker 2
local function pair(t, peers)
  local c = t.cluster{ trackers = 2, peers = peers or { "alice", "bob" } }
  if c.alice then t.ok(c.alice:use_tracker(1)) end
  if c.bob then t.ok(c.bob:use_tracker(2)) end
  return c
end

local function team(t, c)
  local s = t.ok(c.alice:create_group("team"))
  t.ok(c.alice:wait_synced(s))
  t.ok(c.bob:join_group("team"))
  t.eventually(function() return #t.ok(c.alice:list_requests("team")) == 1 end, 5)
  t.ok(c.alice:wait_synced(t.ok(c.alice:accept_request("team", "bob"))))
end

T.case("create_user", function(t)
  local c = pair(t, { "alice" })
  local x = c:client("x", { login = false })
  t.ok(x:use_tracker(1))
  local s = t.ok(x:create_user("dora", "pw"))
  t.ok(x:wait_synced(s))
  t.ok(x:use_tracker(2))
  t.err("exists", x:create_user("dora", "other"))
  t.ok(x:login("dora", "pw"))
  t.eq(t.ok(x:whoami()).user, "dora")
end)

T.case("login", function(t)
  local c = pair(t)
  team(t, c)
  t.ok(c.alice:logout())
  t.eventually(function()
    for _, m in ipairs(t.ok(c.bob:list_members("team"))) do
      if m.user == "alice" then return not m.online end
    end
  end, 5)
  t.ok(c.alice:login("alice", c.alice.password))
  t.eventually(function()
    for _, m in ipairs(t.ok(c.bob:list_members("team"))) do
      if m.user == "alice" then return m.online end
    end
  end, 5)
end)

T.case("logout", function(t)
  local c = pair(t)
  team(t, c)
  t.ok(c.alice:upload_file(c:file("f", 100), "team"):wait(20))
  t.eventually(function() return #t.ok(c.bob:list_files("team")) == 1 end, 5)
  t.ok(c.alice:logout())
  t.eventually(function() return #t.ok(c.bob:list_files("team")) == 0 end, 5)
end)

T.case("create_group", function(t)
  local c = pair(t)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("team"))))
  t.eq(t.ok(c.bob:list_groups())[1].owner, "alice")
  t.err("exists", c.bob:create_group("team"))
end)

T.case("join_group", function(t)
  local c = pair(t)
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("team"))))
  t.ok(c.bob:wait_synced(t.ok(c.bob:join_group("team"))))
  t.eq(t.ok(c.alice:list_requests("team"))[1].user, "bob")
end)

T.case("accept_request", function(t)
  local c = pair(t)
  team(t, c)
  t.eq(#t.ok(c.bob:list_members("team")), 2)
  t.eq(#t.ok(c.bob:list_files("team")), 0) -- members only
end)

T.case("leave_group", function(t)
  local c = pair(t)
  team(t, c)
  t.ok(c.alice:wait_synced(t.ok(c.alice:leave_group("team"))))
  t.eq(t.ok(c.bob:list_groups())[1].owner, "bob")
  t.err("denied", c.alice:list_files("team"))
end)

T.case("upload_file_data", function(t)
  local c = pair(t)
  team(t, c)
  local path = c:file("f.bin", 1500000)
  t.ok(c.alice:upload_file(path, "team"):wait(20))
  t.eventually(function() return #t.ok(c.bob:list_files("team")) == 1 end, 5)
  local res = t.ok(c.bob:download_file("team", "f.bin", c.bob.dir .. "/"):wait(20))
  t.eq(shoal.hash(res.path), shoal.hash(path))
end)

T.case("update_file_info", function(t)
  local c = pair(t)
  team(t, c)
  t.ok(c.alice:upload_file(c:file("f.bin", 1500000), "team"):wait(20))
  t.eventually(function() return #t.ok(c.bob:list_files("team")) == 1 end, 5)
  t.ok(c.bob:download_file("team", "f.bin", c.bob.dir .. "/"):wait(20))
  t.eventually(function() return t.ok(c.alice:list_files("team"))[1].seeders == 2 end, 5)
end)

T.case("stop_share", function(t)
  local c = pair(t)
  team(t, c)
  t.ok(c.alice:upload_file(c:file("f.bin", 100), "team"):wait(20))
  t.eventually(function() return #t.ok(c.bob:list_files("team")) == 1 end, 5)
  t.ok(c.alice:wait_synced(t.ok(c.alice:stop_share("team", "f.bin"))))
  t.eq(#t.ok(c.bob:list_files("team", { all = true })), 0)
end)
