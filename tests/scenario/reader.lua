-- The role of a reader: downloads, and shares nothing, neither what he has whole nor what he has in part.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function member(t, c, who, role)
  t.ok(c[who]:join_group("g"))
  t.eventually(function() return c.alice:accept_request("g", who, role) end, 10)
end

local function seeders(t, who, name)
  for _, row in ipairs(t.ok(who:list_files("g", { all = true }))) do
    if row.name == name then return row.seeders end
  end
  return 0
end

local function role_of(t, who, user)
  for _, row in ipairs(t.ok(who:list_members("g"))) do if row.user == user then return row.role end end
end

local function text_of(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("a")
  f:close()
  return text
end

T.case("a reader downloads, and neither uploads nor becomes a seeder", function(t)
  local c = t.cluster{ trackers = 2, peers = { "alice", "bob", "cho" } }
  t.ok(c.alice:wait_synced(t.ok(c.alice:create_group("g"))))
  member(t, c, "bob", "reader")
  member(t, c, "cho")
  t.eventually(function() return role_of(t, c.bob, "bob") == "reader" and role_of(t, c.bob, "cho") == "member" end, 10)
  local path = c:file("plan.bin", 2000000)
  t.ok(t.ok(c.alice:upload_file(path, "g")):wait(20))

  for _, who in ipairs{ "bob", "cho" } do
    t.eventually(function() return seeders(t, c[who], "plan.bin") > 0 end, 10)
    local got = t.ok(t.ok(c[who]:download_file("g", "plan.bin", c[who].dir .. "/")):wait(20))
    if text_of(got.path) ~= text_of(path) then error(who .. " has got something else", 0) end
  end
  t.eventually(function() return seeders(t, c.alice, "plan.bin") == 2 end, 10) -- alice and cho
  local err = t.err("denied", t.ok(c.bob:upload_file(c:file("own.bin", 1000), "g")):wait(20))
  t.match(err.message, "a reader of 'g' may not share in it")
  t.eq(seeders(t, c.bob, "own.bin"), 0)
  c.alice:stop()
  c.cho:stop()
  t.eventually(function() return #t.ok(c.bob:list_files("g")) == 0 end, 40) -- bob has it, and nobody is told to ask him
end)

T.case("who becomes a reader is no seeder from then on, and one again when he is a member again", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  member(t, c, "bob")
  local path = c:file("plan.bin", 600000)
  t.ok(t.ok(c.bob:upload_file(path, "g")):wait(20))
  t.err("denied", c.bob:set_role("g", "bob", "admin"))
  t.err("usage", c.alice:set_role("g", "bob", "guest"))
  t.ok(c.alice:set_role("g", "bob", "reader"))
  t.eq(seeders(t, c.alice, "plan.bin"), 0)
  t.err("not_found", t.ok(c.alice:download_file("g", "plan.bin", c.alice.dir .. "/")):wait(20))
  t.ok(c.alice:set_role("g", "bob", "member"))
  t.eq(seeders(t, c.alice, "plan.bin"), 1)
  local got = t.ok(t.ok(c.alice:download_file("g", "plan.bin", c.alice.dir .. "/")):wait(30))
  if text_of(got.path) ~= text_of(path) then error("alice has got something else", 0) end
end)

-- Two leechers at a slow seeder: the reader is told of the other one and dials it, and is asked for nothing all the same.
T.case("a reader gives nothing of a file that it is downloading", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob", "cho" } }
  t.ok(c.alice:create_group("g"))
  member(t, c, "bob", "reader")
  member(t, c, "cho")
  t.ok(t.ok(c.alice:upload_file(c:file("big.bin", 16 * 524288), "g")):wait(20))
  t.ok(c.alice:limits{ up = 1500000 })
  local other = t.ok(c.cho:download_file("g", "big.bin", c.cho.dir .. "/"))
  t.eventually(function() return (other.pieces or 0) >= 1 end, 20)
  local reader = t.ok(c.bob:download_file("g", "big.bin", c.bob.dir .. "/"))
  t.ok(reader:wait(60))
  local got = t.ok(other:wait(60))
  t.eq(got.sources, 1)
end)
