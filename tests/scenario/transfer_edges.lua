-- Edges of a transfer: a file one shares oneself, a client killed the moment its job is done, paused jobs and places.
local T = require "shoal.test"

local function pair(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  return c
end

T.case("a file that only oneself shares is copied", function(t)
  local c = pair(t)
  local path = c:file("own", 3 * 1024 * 1024 + 1)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  local res = t.ok(c.alice:download_file("g", "own", c.alice.dir .. "/copy"):wait(10))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  t.eq(res.sources, 0)
  -- the first one goes on being the one that is shared
  os.remove(res.path)
  local got = t.ok(c.bob:download_file("g", "own", c.bob.dir .. "/"):wait(20))
  t.eq(shoal.hash(got.path), shoal.hash(path))
end)

T.case("who is killed when told 'done' shares after the next start", function(t)
  local c = pair(t)
  local path = c:file("f", 600000)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  local got = t.ok(c.bob:download_file("g", "f", c.bob.dir .. "/"):wait(20))
  c.bob:kill()
  c.alice:kill()
  c.bob:start()
  local carol = c:client("carol")
  t.ok(carol:join_group("g"))
  c.alice:start()
  t.ok(c.alice:accept_request("g", "carol"))
  c.alice:kill()
  local res = t.ok(carol:download_file("g", "f", carol.dir .. "/"):wait(20))
  t.eq(shoal.hash(res.path), shoal.hash(got.path))
end)
