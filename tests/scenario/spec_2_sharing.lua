-- SPEC.md, testing scenario 2: upload, list, download, show.
local T = require "shoal.test"

local function group(t, c, name, owner, ...)
  t.ok(owner:create_group(name))
  for _, p in ipairs { ... } do
    t.ok(p:join_group(name))
    t.ok(owner:accept_request(name, p.user))
  end
end

T.case("a file goes round, whatever its size and name", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  group(t, c, "project_team", c.alice, c.bob)
  local piece = 524288
  local sizes = { ["empty"] = 0, ["one byte"] = 1, ["exact.bin"] = 3 * piece, ["tail.bin"] = 5 * piece + 17,
                  ["größe & 名前.dat"] = piece - 1, ["-dash"] = piece + 1 }
  for name, size in pairs(sizes) do
    local path = c:file(name, size)
    local res = t.ok(c.alice:upload_file(path, "project_team"):wait(20))
    t.eq(res.bytes, size)
  end
  local files = t.ok(c.bob:list_files("project_team"))
  t.eq(#files, 6)
  for _, f in ipairs(files) do
    t.eq(f.size, sizes[f.name])
    t.eq(f.seeders, 1)
    t.eq(f.owner, "alice")
    local res = t.ok(c.bob:download_file("project_team", f.name, c.bob.dir .. "/downloads/"):wait(20))
    t.eq(res.path, c.bob.dir .. "/downloads/" .. f.name)
    t.eq(res.bytes, f.size)
    t.eq(shoal.hash(res.path), f.hash)
    t.eq(shoal.hash(c.dir .. "/" .. f.name), f.hash)
  end
  local shown = t.ok(c.bob:show_downloads())
  t.eq(#shown, 6)
  for _, j in ipairs(shown) do t.eq(j.state, "done") end
  for _, f in ipairs(t.ok(c.alice:list_files("project_team"))) do t.eq(f.seeders, 2) end
end)

T.case("what cannot be is refused as a failed job", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  group(t, c, "g", c.alice)
  t.err("io", c.alice:upload_file("/nonexistent/file", "g"):wait(10))
  t.err("not_found", c.alice:upload_file(c:file("f", 10), "nogroup"):wait(10))
  t.err("denied", c.bob:upload_file(c:file("f", 10), "g"):wait(10))
  t.err("not_found", c.alice:download_file("g", "nothing", c.dir):wait(10))
  t.ok(c.alice:upload_file(c:file("f", 10), "g"):wait(10))
  t.err("denied", c.bob:download_file("g", "f", c.dir):wait(10))
  -- other content under the same name
  t.err("exists", c.alice:upload_file(c:file("other/f", 11, 5), "g"):wait(10))
end)

T.case("several seeders share the work, leechers serve each other", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob", "carol", "dave" } }
  group(t, c, "g", c.alice, c.bob, c.carol, c.dave)
  local path = c:file("big.bin", 40 * 1024 * 1024 + 3)
  local hash = shoal.hash(path)
  t.ok(c.alice:upload_file(path, "g"):wait(30))
  t.ok(c.bob:download_file("g", "big.bin", c.bob.dir .. "/"):wait(30))
  local jobs = { c.carol:download_file("g", "big.bin", c.carol.dir .. "/"),
                 c.dave:download_file("g", "big.bin", c.dave.dir .. "/") }
  for _, j in ipairs(jobs) do
    local res = t.ok(j:wait(30))
    t.eq(shoal.hash(res.path), hash)
    t.eq(j.pieces, 81)
    t.eq(j.pieces_total, 81)
  end
  t.eq(t.ok(c.alice:list_files("g"))[1].seeders, 4)
end)
