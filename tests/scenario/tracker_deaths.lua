-- A tracker is killed, restarted and killed again; a third one comes late. Nothing acknowledged is lost.
local T = require "shoal.test"

T.case("killed, restarted and killed again", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob" } }
  t.ok(c.alice:use_tracker(1))
  t.ok(c.bob:use_tracker(1))
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("one")))) -- else it would be known to the dead alone
  c.trackers[1]:kill()
  t.ok(c.alice:create_group("two")) -- the clients have moved by themselves
  t.ok(c.bob:join_group("two"))
  t.ok(c.alice:accept_request("two", "bob"))
  c.trackers[1]:start()
  t.ok(c.alice:use_tracker(1))
  t.eventually(function() return #(c.alice:list_groups() or {}) == 2 end, 10)
  local s = t.ok(c.alice:create_group("three"))
  t.ok(c.alice:wait_synced(s, { timeout = 10 }))
  c.trackers[1]:kill()
  t.eventually(function() return #(c.bob:list_groups() or {}) == 3 end, 10)
  c.trackers[1]:start()
  c.trackers[2]:kill()
  t.eventually(function() return #(c.bob:list_groups() or {}) == 3 end, 10)
  t.eq(#t.ok(c.bob:list_members("two")), 2)
end)

T.case("every tracker dies: what was acknowledged is there again", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice" } }
  for i = 1, 20 do t.ok(c.alice:create_group("g" .. i)) end
  c.trackers[1]:kill()
  c.trackers[2]:kill()
  c.trackers[1]:start()
  c.trackers[2]:start()
  t.eventually(function() return #(c.alice:list_groups() or {}) == 20 end, 15)
end)

T.case("a late third tracker has everything", function(t)
  local c = t.cluster{ trackers = 3, start = 2, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  t.ok(c.alice:upload_file(c:file("f", 900000), "g"):wait(20))
  c.trackers[3]:start()
  t.eventually(function() return c.bob:use_tracker(3) end, 10)
  t.eventually(function() return #(c.bob:list_files("g") or {}) == 1 end, 10)
  t.ok(c.bob:download_file("g", "f", c.bob.dir .. "/"):wait(20))
  t.eq(#t.ok(c.bob:list_members("g")), 2)
end)

T.case("a download goes on while its tracker dies", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob" } }
  t.ok(c.alice:use_tracker(1))
  t.ok(c.bob:use_tracker(1))
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  local path = c:file("f", 24 * 1024 * 1024)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  local job = c.bob:download_file("g", "f", c.bob.dir .. "/", { limit = "12M" })
  t.eventually(function() return job.pieces > 5 end, 20)
  c.trackers[1]:kill()
  local res = t.ok(job:wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  t.eventually(function() return #(c.alice:list_files("g") or {}) == 1 and c.alice:list_files("g")[1].seeders == 2 end, 10)
end)
