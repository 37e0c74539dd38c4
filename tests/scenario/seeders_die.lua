-- A file shared by three seeders of which two die in mid-download: the third finishes it.
local T = require "shoal.test"

T.case("two of three seeders die, the download ends well", function(t)
  local c = t.cluster{ trackers = 1, peers = { "ann", "ben", "cho", "dan" } }
  t.ok(c.ann:create_group("g"))
  for _, p in ipairs { c.ben, c.cho, c.dan } do
    t.ok(p:join_group("g"))
    t.ok(c.ann:accept_request("g", p.user))
  end
  local path = c:file("film.bin", 48 * 1024 * 1024 + 11)
  for _, p in ipairs { c.ann, c.ben, c.cho } do t.ok(p:upload_file(path, "g"):wait(30)) end
  local job = c.dan:download_file("g", "film.bin", c.dan.dir .. "/", { limit = "16M" })
  t.eventually(function() return job.pieces > 10 end, 20)
  c.ann:kill()
  t.eventually(function() return job.pieces > 40 end, 20)
  c.ben:kill()
  local res = t.ok(job:wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  t.eq(job.bad_pieces, 0)
end)
