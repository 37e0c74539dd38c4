-- 200 idle clients on one tracker while a download runs: a connection pins no thread.
local T = require "shoal.test"

T.case("200 idle clients disturb nobody", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  local path = c:file("f", 32 * 1024 * 1024)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  local idle = {}
  for i = 1, 200 do idle[i] = c:client("idle" .. i) end
  local threads = c.trackers[1]:threads()
  if threads > 16 then error("the tracker runs " .. threads .. " threads for 202 clients") end
  local res = t.ok(c.bob:download_file("g", "f", c.bob.dir .. "/"):wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  for i = 1, 200, 20 do t.ok(idle[i]:list_groups()) end
end)
