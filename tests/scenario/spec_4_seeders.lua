-- SPEC.md, testing scenario 4: only what an online seeder has is listed; logout pauses, login resumes.
local T = require "shoal.test"

T.case("a file is listed while a seeder is logged in", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("group1"))
  t.ok(c.bob:join_group("group1"))
  t.ok(c.alice:accept_request("group1", "bob"))
  local path = c:file("file.txt", 700000)
  t.ok(c.alice:upload_file(path, "group1"):wait(20))
  local files = t.ok(c.bob:list_files("group1"))
  t.eq(#files, 1)
  t.eq(files[1].seeders, 1)

  t.ok(c.alice:logout())
  t.eq(#t.ok(c.bob:list_files("group1")), 0)
  t.eq(#t.ok(c.bob:list_files("group1", { all = true })), 1)

  t.ok(c.alice:login("alice", c.alice.password))
  t.eventually(function() return #t.ok(c.bob:list_files("group1")) == 1 end, 10)
  local res = t.ok(c.bob:download_file("group1", "file.txt", c.bob.dir .. "/"):wait(20))
  t.eq(shoal.hash(res.path), shoal.hash(path))
end)

T.case("a seeder that restarts elsewhere serves from its new address", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  local path = c:file("f", 3000000)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  c.alice:kill()
  t.eventually(function() return #t.ok(c.bob:list_files("g")) == 0 end, 10)
  c.alice:start() -- another port; logs in again under her name
  t.eventually(function() return #t.ok(c.bob:list_files("g")) == 1 end, 10)
  local res = t.ok(c.bob:download_file("g", "f", c.bob.dir .. "/"):wait(20))
  t.eq(shoal.hash(res.path), shoal.hash(path))
end)
