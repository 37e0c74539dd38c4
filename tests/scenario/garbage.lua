-- Garbage to every port: nothing crashes, hangs or grows, and work goes on meanwhile.
local T = require "shoal.test"
local proc = require "shoal.proc"

-- Sends what `producer` prints to the port; the far side may hang up whenever it likes.
local function pour(addr, producer)
  local host, port = addr:match("^(.*):(%d+)$")
  local p = assert(proc.spawn{ "bash", "-c",
    ("exec 3<>/dev/tcp/%s/%s && { %s; } >&3 2>/dev/null; exit 0"):format(host, port, producer) })
  assert(p:wait(30), "the garbage could not be sent within 30 s")
end

local garbage = {
  "head -c 300000 /dev/urandom",
  "head -c 300000 /dev/zero",
  "printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'",
  "printf 'SYNC create_user eve'",
  "printf '\\377\\377\\377\\377CMD '",
  "printf '\\026\\003\\001\\377\\377'; head -c 70000 /dev/urandom",
  "true",
}

T.case("strangers' bytes change nothing", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  local path = c:file("f", 16 * 1024 * 1024)
  t.ok(c.alice:upload_file(path, "g"):wait(20))
  local ports = { c.trackers[1].addr, c.trackers[2].addr, c.alice.addr, c.bob.addr }
  local before = {}
  for i, p in ipairs { c.trackers[1], c.trackers[2], c.alice, c.bob } do before[i] = p:memory() end
  local job = c.bob:download_file("g", "f", c.bob.dir .. "/", { limit = "8M" })
  for _, addr in ipairs(ports) do
    for _, g in ipairs(garbage) do pour(addr, g) end
  end
  local res = t.ok(job:wait(60))
  t.eq(shoal.hash(res.path), shoal.hash(path))
  t.eq(#t.ok(c.alice:list_groups()), 1)
  for i, p in ipairs { c.trackers[1], c.trackers[2], c.alice, c.bob } do
    local grown = p:memory() - before[i]
    if grown > 48 * 1024 * 1024 then error(("process %d grew by %d bytes"):format(i, grown)) end
  end
end)
