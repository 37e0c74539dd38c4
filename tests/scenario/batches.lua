-- Many files at once: lists with new tries, folders with links and modes, groups that are watched.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("a")
  f:close()
  return text
end

local function sh(...)
  local p = assert(proc.spawn({ ... }, { capture = true }))
  assert(p:wait(60) == 0, p:errors())
  return p:output()
end

-- alice shares, bob is a member.
local function two(t, opts)
  opts = opts or {}
  local c = t.cluster{ trackers = 1, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  return c
end

T.case("a list is fetched, and again without fetching twice", function(t)
  local c = two(t)
  local items = {}
  for i = 1, 12 do
    local name = ("f%02d.bin"):format(i)
    t.ok(c.alice:upload_file(c:file(name, 1000 * i), "g"):wait(20))
    items[i] = { group = "g", file = name, dest = c.bob.dir .. "/dl/" }
  end
  local report = c.dir .. "/report.json"
  local r = t.ok(c.bob:download_batch(items, { jobs = 3, report = report }))
  t.eq(r.files, 12)
  t.eq(r.done, 12)
  t.eq(r.skipped, 0)
  t.eq(r.bytes, 78000)
  t.eq(r.items[12].tries, 1)
  local written = t.ok(shoal.json.decode(read(report)))
  t.eq(written.done, 12)
  t.eq(written.state, "done")
  for i = 1, 12 do
    local name = items[i].file
    t.eq(shoal.hash(c.bob.dir .. "/dl/" .. name), shoal.hash(c.dir .. "/" .. name))
  end
  t.eq(t.ok(c.bob:download_batch(items)).skipped, 12)
  items[13] = { group = "g", file = "nothing", dest = "." }
  items[14] = { group = "nowhere", file = "nothing", dest = "." }
  local _, err = c.bob:download_batch(items, { report = report })
  t.eq(err.code, "not_found")
  t.match(err.message, "2 of 14 files failed")
  written = t.ok(shoal.json.decode(read(report)))
  t.eq(written.failed, 2)
  t.eq(written.items[13].error.code, "not_found")
  t.eq(written.items[13].tries, 1) -- it makes no sense to try again
  t.err("usage", c.bob:download_batch({ { file = "x" } }))
end)

T.case("what fails for a passing reason is tried again", function(t)
  local c = two(t)
  t.ok(c.alice:upload_file(c:file("a.bin", 600000), "g"):wait(20))
  c.alice:stop()
  local id = c.bob:post("download_batch", { { group = "g", file = "a.bin", dest = c.bob.dir .. "/" } },
    { retries = 100, wait_for_seeder = 0.2 })
  local watch = proc.connect(c.bob.socket)
  local function tries()
    watch:send('{"id":1,"call":"jobs"}')
    return #assert(shoal.json.decode(watch:receive(20))).value
  end
  t.eventually(function() return tries() >= 2 end, 30)
  c.alice:start()
  local r = t.ok(c.bob:take(id))
  t.eq(r.done, 1)
  if r.items[1].tries < 2 then error("only one try") end
  watch:close()
end)

-- A folder with all that a folder may hold.
local function make_folder(root)
  sh("/bin/mkdir", "-p", root .. "/sub/deep", root .. "/empty")
  write(root .. "/run.sh", "#!/bin/sh\n")
  write(root .. "/sub/100% täglich.txt", "yes\n")
  write(root .. "/sub/deep/nothing", "")
  write(root .. "/sub/skip.tmp", "not this\n")
  sh("/bin/chmod", "755", root .. "/run.sh")
  sh("/bin/chmod", "600", root .. "/sub/100% täglich.txt")
  sh("/bin/ln", "-s", "../run.sh", root .. "/sub/link")
  sh("/bin/ln", "-s", "/etc/passwd", root .. "/outside")
end

local LIST = { "-printf", "%P %y %m %l\n" }

T.case("a folder arrives as it was: modes, links, empty folders", function(t)
  local c = two(t)
  local root = c.dir .. "/photos"
  make_folder(root)
  local up = t.ok(c.alice:upload_dir(root, "g", { exclude = "*.tmp" }))
  t.eq(up.done, 3)
  t.eq(up.left_out, { "outside" })
  local down = t.ok(c.bob:download_dir("g", "photos", c.bob.dir .. "/dl/"))
  t.eq(down.path, c.bob.dir .. "/dl/photos")
  sh("/bin/rm", root .. "/sub/skip.tmp", root .. "/outside")
  local function list(folder)
    local lines = {}
    for line in sh("/usr/bin/find", folder, "-mindepth", "1", LIST[1], LIST[2]):gmatch("[^\n]+") do lines[#lines + 1] = line end
    table.sort(lines)
    return lines
  end
  t.eq(list(down.path), list(root))
  t.eq(read(down.path .. "/sub/100% täglich.txt"), "yes\n")
  -- a file that changed is another one; what stayed is not fetched again
  write(root .. "/run.sh", "#!/bin/sh\nexit 1\n")
  t.ok(c.alice:upload_dir(root, "g"))
  local again = t.ok(c.bob:download_dir("g", "photos", c.dir .. "/second", { exclude = { "*.tmp" } }))
  t.eq(read(again.path .. "/run.sh"), "#!/bin/sh\nexit 1\n")
  t.eq(#t.ok(c.bob:list_files("g", { glob = "*.folder" })), 2)
  t.err("not_found", c.bob:download_dir("g", "phot", c.dir))
  t.err("not_found", c.alice:upload_dir(c.dir .. "/nowhere", "g"))
end)

T.case("names that match are fetched as files", function(t)
  local c = two(t)
  for _, name in ipairs { "a.txt", "b.txt", "c.bin" } do t.ok(c.alice:upload_file(c:file(name, 100), "g"):wait(20)) end
  local r = t.ok(c.bob:download_dir("g", "*.txt", c.bob.dir .. "/dl", { exclude = "b*" }))
  t.eq(r.done, 1)
  t.eq(shoal.hash(c.bob.dir .. "/dl/a.txt"), shoal.hash(c.dir .. "/a.txt"))
end)

-- A member who means no good shares a list that he has written himself.
T.case("a list of somebody else's making writes nothing outside", function(t)
  local c = two(t)
  t.ok(c.alice:upload_file(c:file("evil", 10), "g"):wait(20))
  local function offer(n, entries)
    local path, id = ("%s/list%d"):format(c.dir, n), ("%016x"):format(n)
    write(path, shoal.json.encode { shoal = "folder", version = 1, name = "x", entries = entries })
    t.ok(c.alice:upload_file(path, "g", { name = ("x%d@%x-%s.folder"):format(n, n, id) }):wait(20))
    return c.bob:download_dir("g", "x" .. n, c.bob.dir .. "/dl")
  end
  local outside = c.bob.dir .. "/outside"
  sh("/bin/mkdir", outside)
  for n, path in ipairs { "../up", "/abs", "a/../../b", "a//b", "", "." } do
    t.err("integrity", offer(n, { { path = path, kind = "file", file = "evil" } }))
  end
  t.err("integrity", offer(7, { { path = "%2e%2e/up", kind = "file", file = "evil" } }))
  t.err("integrity", offer(8, { { path = "a", kind = "pipe" } }))
  t.err("integrity", offer(9, "no list"))
  local r = t.ok(offer(10, { { path = "l", kind = "link", target = outside }, { path = "m", kind = "link", target = "../../outside" } }))
  t.eq(r.left_out, { "l", "m" })
  -- a link that lies there already is not followed
  sh("/bin/mkdir", "-p", c.bob.dir .. "/dl/x11")
  sh("/bin/ln", "-s", outside, c.bob.dir .. "/dl/x11/l")
  local _, err = offer(11, { { path = "l/evil", kind = "file", file = "evil" } })
  t.match(err and err.message or "no error", "cannot make the folder of 'l/evil'")
  t.eq(sh("/usr/bin/find", outside, "-mindepth", "1"), "")
  t.err("integrity", offer(12, { { path = "f", kind = "file", file = "evil", hash = ("0"):rep(64) } }))
end)

T.case("a watched group is fetched as it grows, until the watch is stopped", function(t)
  local c = two(t)
  t.ok(c.alice:upload_file(c:file("first.txt", 5000), "g"):wait(20))
  local argv = c:command("carol")
  local code = ([[
    assert(create_user("carol", "pw")) assert(login("carol", "pw"))
    assert(join_group("g"))
    assert(shoal.wait_event("member.joined", { user = "carol" }, 60))
    local w <close> = assert(watch_group("g", { dest = "%s/dl", filter = "*.txt" }))
    while w.fetched < 2 do shoal.sleep(0.02) end
    print(w)
    shoal.after(0.1, function() w:stop() end)
    assert(w:wait(60))
    print(w)]]):format(c.dir)
  for _, word in ipairs { "--timeout", "60s", "-e", code } do argv[#argv + 1] = word end
  local p = assert(proc.spawn(argv, { capture = true }))
  t.eventually(function() return #(c.alice:list_requests("g") or {}) == 1 or not p:alive() end, 30)
  t.ok(c.alice:accept_request("g", "carol"))
  t.eventually(function() return io.open(c.dir .. "/dl/first.txt") ~= nil or not p:alive() end, 30)
  t.ok(c.alice:upload_file(c:file("other.bin", 5000), "g"):wait(20))
  t.ok(c.alice:upload_file(c:file("second.txt", 7000), "g"):wait(20))
  t.eq(p:wait(60), 0, p:errors())
  t.match(p:output(), "watch of g: 2 fetched, 0 failed\n.*2 fetched, 0 failed, stopped\n")
  t.eq(shoal.hash(c.dir .. "/dl/second.txt"), shoal.hash(c.dir .. "/second.txt"))
  t.eq(io.open(c.dir .. "/dl/other.bin"), nil)
end)
