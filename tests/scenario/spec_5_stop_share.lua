-- SPEC.md, testing scenario 5: a file stays while others seed it and goes with the last seeder.
local T = require "shoal.test"

T.case("stop_share removes the file only with its last active seeder", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob", "carol" } }
  t.ok(c.alice:create_group("group1"))
  for _, p in ipairs { c.bob, c.carol } do
    t.ok(p:join_group("group1"))
    t.ok(c.alice:accept_request("group1", p.user))
  end
  local path = c:file("file.txt", 600000)
  for _, p in ipairs { c.alice, c.bob } do t.ok(p:upload_file(path, "group1"):wait(20)) end
  t.eq(t.ok(c.carol:list_files("group1"))[1].seeders, 2)

  t.err("not_found", c.carol:stop_share("group1", "nothing.txt"))
  t.err("not_found", c.carol:stop_share("group1", "file.txt")) -- not one of hers
  t.ok(c.alice:stop_share("group1", "file.txt"))
  t.eq(t.ok(c.carol:list_files("group1"))[1].seeders, 1)
  t.ok(c.carol:download_file("group1", "file.txt", c.carol.dir .. "/"):wait(20))
  t.ok(c.carol:stop_share("group1", "file.txt"))

  t.ok(c.bob:stop_share("group1", "file.txt"))
  t.eq(#t.ok(c.carol:list_files("group1", { all = true })), 0)
  t.err("not_found", c.carol:download_file("group1", "file.txt", c.carol.dir .. "/x/"):wait(20))
end)
