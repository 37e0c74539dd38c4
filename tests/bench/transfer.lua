-- Times one download of FILE between two clients on loopback: shoal --test tests/bench/transfer.lua -- FILE [plain|tls] [SEEDERS]
-- Prints: seconds and peak anonymous memory of seeder and leecher. The download is verified outside the timed part.
local T = require "shoal.test"
local proc = require "shoal.proc"

local file, mode, seeders = arg[1], arg[2] or "tls", tonumber(arg[3] or "1")

T.case("transfer", function(t)
  local names = { "leecher" }
  for i = 1, seeders do names[#names + 1] = "seeder" .. i end
  local c = t.cluster{ trackers = 1, peers = names, plaintext = mode == "plain" }
  t.ok(c.seeder1:create_group("g"))
  for _, n in ipairs(names) do
    if n ~= "seeder1" then
      t.ok(c[n]:join_group("g"))
      t.ok(c.seeder1:accept_request("g", n))
    end
  end
  local up
  for i = 1, seeders do up = t.ok(c["seeder" .. i]:upload_file(file, "g"):wait(300)) end
  local t0 = proc.mono()
  local res = t.ok(c.leecher:download_file("g", file:match("[^/]+$"), c.leecher.dir .. "/"):wait(300))
  local took = proc.mono() - t0
  t.eq(shoal.hash(res.path), shoal.hash(file))
  io.write(("RESULT seconds=%.3f upload=%.3f seeder_kib=%d leecher_kib=%d\n"):format(took, up.seconds,
    c.seeder1:memory() // 1024, c.leecher:memory() // 1024))
end)
