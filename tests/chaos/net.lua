-- A network that can be broken: each program in a network namespace of its own, all on one bridge.
--
-- The bridge is in a namespace too, so nothing of this touches the machine's network, and all of it ends with the
-- processes that hold it. What is blocked is lost without a word, one way at a time: the route of a single address leads
-- to a neighbour that does not exist. Without the right to make namespaces, shoal.test's relays do what they can.
local proc = require "shoal.proc"

local Net = {}
Net.__index = Net
local NOBODY = "10.77.255.254"

local function run(argv, stdin)
  local p = proc.spawn(argv, { capture = true, stdin = stdin })
  local code = p:wait(20)
  return code == 0, p:errors()
end

-- A process that does nothing but keep a namespace.
local function holder(words)
  local argv = table.move({ "unshare", "-n", "sh", "-c", "echo here; exec tail -f /dev/null" }, 1, 5, #words + 1, words)
  local p = proc.spawn(argv, { capture = true })
  local deadline = proc.mono() + 5
  repeat
    if p:output():find("here", 1, true) then return p end
    shoal.sleep(0.005)
  until not p:alive() or proc.mono() > deadline
  return nil, (p:errors():gsub("%s+$", ""))
end

local function inside(process, words)
  return table.move(words, 1, #words, 5, { "nsenter", "-t", tostring(process:pid()), "-n" })
end

-- nil and why not, when namespaces are not permitted.
function Net.namespaces()
  local hub, why = holder{}
  if not hub then return nil, why end
  local ok, text = run(inside(hub, { "ip", "-batch", "-" }), "link set lo up\nlink add br0 type bridge\nlink set br0 up\n")
  if not ok then return nil, text end
  return setmetatable({ hub = hub, nodes = {}, blocked = {}, n = 0 }, Net)
end

-- What the kernel knows to make a line slow: delay, loss and reordering; or only a thin line with a short queue.
function Net:find_shaper()
  local node = select(2, next(self.nodes))
  for _, words in ipairs{ "netem delay 30ms 20ms loss 2% reorder 20%", "tbf rate 400kbit burst 4kb latency 150ms" } do
    if run(inside(node.holder, { "sh", "-c", "tc qdisc replace dev eth0 root " .. words .. " && tc qdisc del dev eth0 root" })) then
      self.shaper = words
      return words
    end
  end
end

-- Gives the address of a new program, and the words that start one there.
function Net:add(name)
  self.n = self.n + 1
  local address = ("10.77.%d.%d"):format(self.n // 200, self.n % 200 + 1)
  local node = { address = address, holder = assert(holder(inside(self.hub, {}))), down = {} }
  local pid = node.holder:pid()
  local ok, text = run(inside(self.hub, { "ip", "-batch", "-" }),
    ("link add v%d type veth peer name eth0 netns %d\nlink set v%d master br0 up\n"):format(self.n, pid, self.n))
  assert(ok, text)
  ok, text = run(inside(node.holder, { "ip", "-batch", "-" }), ("link set lo up\naddr add %s/16 dev eth0\nlink set eth0 up\n"
    .. "neigh add %s lladdr 02:00:00:00:de:ad dev eth0 nud permanent\n"):format(address, NOBODY))
  assert(ok, text)
  self.nodes[name] = node
  return address, inside(node.holder, {})
end

-- What is lost from now on: pairs[from][to] = true. Everything else gets through.
function Net:block(pairs_)
  for name, node in pairs(self.nodes) do
    local want, lines = pairs_[name] or {}, {}
    for other, to in pairs(self.nodes) do
      local now = want[other] or nil
      if now ~= node.down[other] then
        lines[#lines + 1] = ("route %s %s/32 via %s\n"):format(now and "replace" or "del", to.address, NOBODY)
        node.down[other] = now
      end
    end
    if #lines > 0 then
      local ok, text = run(inside(node.holder, { "ip", "-batch", "-" }), table.concat(lines))
      assert(ok, text)
    end
  end
end

function Net:slow(name, on)
  if not self.shaper then return end
  local node = self.nodes[name]
  if (node.slow or false) == on then return end
  node.slow = on
  local words = on and "replace dev eth0 root " .. self.shaper or "del dev eth0 root"
  local ok, text = run(inside(node.holder, { "sh", "-c", "tc qdisc " .. words }))
  assert(ok, text)
end

function Net:close()
  for _, node in pairs(self.nodes) do node.holder:kill(9) end
  self.hub:kill(9)
end

-- -- the same with the relays of shoal.test

local Relays = {}
Relays.__index = Relays

function Net.relays(cluster) return setmetatable({ cluster = cluster }, Relays) end
function Relays:find_shaper() end
function Relays:slow() end
function Relays:close() end

function Relays:block(pairs_)
  local c = self.cluster
  c:heal()
  for from, others in pairs(pairs_) do
    for to in pairs(others) do
      if c.routes[from .. ">" .. to] or c.routes[to .. ">" .. from] then
        if (pairs_[to] or {})[from] then c:hold(from, to) else c:mute(from, to) end
      end
    end
  end
end

return Net
