-- The cluster's key: made once, shown, refused when others can read it, replaced; a changed identity is refused loudly.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function run(argv, options)
  options = options or {}
  options.capture = true
  local p = assert(proc.spawn(argv, options))
  local code = assert(p:wait(60), "it did not end")
  return code, p:errors(), p:output()
end

local tracker = shoal.build_folder .. "/shoal-tracker"

local function identity(t, ...)
  local code, err, out = run({ tracker, ... })
  t.eq(code, 0, err)
  return (assert(out:match("^cluster (sha256:%x+)\n$"), out))
end

T.case("a key is made, shown and never written over", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local path = c.dir .. "/fresh/cluster.key"
  local made = identity(t, "--new-cluster-key", "--cluster-key", path)
  t.eq(identity(t, "--show-identity", "--cluster-key", path), made)
  local _, _, mode = run{ "stat", "-c", "%a %s", path }
  t.eq(mode, "600 32\n")
  local code, err = run{ tracker, "--new-cluster-key", "--cluster-key", path }
  t.eq(code, 12, err)
  t.match(err, "never written over")
  t.eq(identity(t, "--show-identity", "--cluster-key", path), made)
  code, err = run{ tracker, "--show-identity", "--cluster-key", c.dir .. "/none.key" }
  t.eq(code, 6, err)
  t.match(err, "none.key")
  -- what the trackers of the cluster say is what is shown
  local log = assert(io.open(c.trackers[1].log)):read("a")
  local shown = identity(t, "--show-identity", "--cluster-key", c.dir .. "/cluster.key")
  if not log:find(shown, 1, true) then error(shown .. " is not in " .. log) end
end)

T.case("a key that others can read is refused, of the cluster and of a device", function(t)
  local c = t.cluster{ trackers = 1, peers = { "ann" } }
  for _, mode in ipairs{ "640", "604", "660" } do
    assert(run{ "chmod", mode, c.dir .. "/cluster.key" } == 0)
    local code, err = run{ tracker, "--data", c.dir .. "/other", "--cluster-key", c.dir .. "/cluster.key", c.tracker_info, "1" }
    t.eq(code, 13, err)
    t.match(err, "cluster.key' can be read by others: chmod 600 it")
    t.eq(run{ tracker, "--show-identity", "--cluster-key", c.dir .. "/cluster.key" }, 5)
  end
  c.ann:stop()
  assert(run{ "chmod", "644", c.dir .. "/ann/data/data/device.key" } == 0)
  local words = c:command("ann")
  words[#words + 1] = "-e"
  words[#words + 1] = "1"
  local code, err = run(words)
  t.eq(code, 13, err)
  t.match(err, "device.key' can be read by others: chmod 600 it")
end)

T.case("a new key: refused loudly by who knew the old one, everything is still there for who takes it", function(t)
  local c = t.cluster{ trackers = 2, peers = { "ann", "bob" } }
  t.ok(c.ann:create_group("g"))
  local old = identity(t, "--show-identity", "--cluster-key", c.dir .. "/cluster.key")
  for _, tr in ipairs(c.trackers) do tr:stop() end
  assert(run{ "mv", c.dir .. "/cluster.key", c.dir .. "/old.key" } == 0)
  local new = identity(t, "--new-cluster-key", "--cluster-key", c.dir .. "/cluster.key")
  if new == old then error("the same identity again") end
  for _, tr in ipairs(c.trackers) do tr:start() end
  -- both fingerprints are named, nothing is asked, no command goes out
  local function log_of(client) return assert(io.open(client.log)):read("a") end
  t.eventually(function() return log_of(c.ann):find(new:sub(8), 1, true) and log_of(c.ann):find(old:sub(8), 1, true) end, 20)
  c.ann:stop()
  c.bob:stop()
  local words = c:command("ann")
  words[#words + 1] = "-e"
  words[#words + 1] = "assert(login('ann', 'pw-ann'))"
  local code, err = run(words)
  if code == 0 then error("it went to a tracker that it does not know") end
  t.match(err, old:sub(8))
  t.match(err, new:sub(8))
  t.match(err, "known_trackers")
  -- who is told the new one, and has dropped the old lines, finds all as it was
  assert(run{ "rm", c.dir .. "/ann/data/data/known_trackers" } == 0)
  table.insert(words, 2, "--cluster=" .. new)
  words[#words] = "assert(login('ann', 'pw-ann')) print(#assert(list_groups()))"
  local out
  code, err, out = run(words)
  t.eq(code, 0, err)
  t.match(out, "1\n$")
  -- and the old identity is nobody's any more
  words[2] = "--cluster=" .. old
  if run(words) == 0 then error("a tracker of the old key was found") end
end)
