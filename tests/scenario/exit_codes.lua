-- What cannot work is said in one line, with the exit code of docs/scripting.md.
local T = require "shoal.test"
local proc = require "shoal.proc"

-- Runs `argv`; the code and what it said.
local function run(argv, options)
  options = options or {}
  options.capture = true
  local p = assert(proc.spawn(argv, options))
  local code = assert(p:wait(60), "it did not end")
  return code, p:errors(), p:output()
end

-- The client's words, changed: replace = { from = to }, and further ones at the end.
local function words(c, replace, ...)
  local argv = c:command("ann")
  for i, word in ipairs(argv) do argv[i] = replace[word] or word end
  for _, word in ipairs { ... } do argv[#argv + 1] = word end
  return argv
end

-- `sh -c TEXT` with the client as "$@".
local function shell(text, argv) return { "/bin/sh", "-c", text, "sh", table.unpack(argv) } end

local function one_line(t, text, pattern)
  t.match(text, pattern)
  t.eq(select(2, text:gsub("\n", "")), 1, text)
end

T.case("output that is lost is an error", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  for _, tail in ipairs { { "-e", "print(1)" }, { "--json", "-e", "{ a = 1 }" }, { "-e", "while true do print(1) end" } } do
    local code, err = run(shell('exec "$@" >/dev/full', words(c, {}, table.unpack(tail))))
    t.eq(code, 13, err)
    one_line(t, err, "cannot write the standard output")
  end
  local code, err = run(shell('exec "$@" >/dev/full', words(c, {})), { stdin = "_VERSION\n" })
  t.eq(code, 13, err)
  -- a reader that has had enough is no error worth a line
  local _, quiet, out = run(shell('{ { "$@"; echo "code $?" >&3; } | head -n 1 >/dev/null; } 3>&1',
                                  words(c, {}, "-e", "while true do print(1) end")))
  t.eq(quiet, "")
  t.eq(out, "code 141\n")
end)

T.case("files of its own that cannot be used are io, wrong words on the command line are usage", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local data, key = c.dir .. "/ann/data", c.dir .. "/ann/data/data/device.key"
  local function fails(code, pattern, replace, ...)
    local got, err = run(words(c, replace, ...))
    t.eq(got, code, err)
    one_line(t, err, pattern)
  end
  fails(13, "/proc/foo", { [data] = "/proc/foo" }, "-e", "1")
  fails(2, "999.1.1.1", { ["127.0.0.1:0"] = "999.1.1.1:0" }, "-e", "1")
  fails(2, "no%-such%-host.invalid", { ["127.0.0.1:0"] = "no-such-host.invalid:0" }, "-e", "1")
  fails(2, "the port is missing", { ["127.0.0.1:0"] = "127.0.0.1" }, "-e", "1")
  fails(2, "the port is missing", { ["127.0.0.1:0"] = "::1" }, "-e", "1")
  fails(2, "/tmp", {}, "/tmp")
  fails(2, "/tmp", { [c.tracker_info] = "/tmp" }, "-e", "1")
  fails(2, "/nowhere", { [c.tracker_info] = "/nowhere" }, "-e", "1")
  fails(2, "/nowhere", {}, "/nowhere")
  fails(2, "/nowhere", {}, "--password-file", "/nowhere", "-e", "1")
  fails(2, "/tmp", {}, "--password-file", "/tmp", "-e", "1")
  fails(2, "from 2 to 10", {}, "--threads", "1", "-e", "1")
  fails(2, "from 2 to 10", {}, "--threads", "11", "-e", "1")
  fails(2, "module 'nomod' not found", {}, "-l", "nomod", "-e", "1")
  t.eq(run(words(c, {}, "-e", "x = 1")), 0) -- makes the key
  local f = assert(io.open(key, "w"))
  f:write("short")
  f:close()
  fails(13, "device.key", {}, "-e", "1")
end)

T.case("the files that one uploads are not the group's", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  t.err("io", c.alice:upload_file("/nowhere", "g"):wait(10))
  t.err("usage", c.alice:upload_file("/tmp", "g"):wait(10))
  t.err("usage", c.alice:upload_file("/dev/null", "g"):wait(10))
end)

T.case("text that is too long says how long it may be", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  local long = ("g"):rep(100 * 1024)
  local function too_long(pattern, ...)
    local _, err = ...
    t.err("usage", ...)
    t.match(err.message, pattern)
  end
  too_long("the password is too long: 1000000 bytes, at most 1024", c.alice:create_user("x", ("g"):rep(1000000)))
  too_long("the name of the group is too long: 102400 bytes", c.alice:create_group(long))
  too_long("the name of the user is too long", c.alice:login(long, "x"))
  too_long("the name of the file is too long", c.alice:download_file("g", long))
  too_long("the path is too long", c.alice:upload_file(long, "g"))
  too_long("the glob is too long", c.alice:list_files("g", { glob = long }))
  t.eq(run(words(c, {}, "-e", "create_user('x', ('g'):rep(1000000))")), 2)
end)

T.case("who stops half-way is told what is left, and goes on there", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.alice:upload_file(c:file("big one.bin", 8 * 524288), "g"):wait(20))
  local fetch = ([[assert(login("alice", "pw-alice"));
    local j = assert(download_file("g", "big one.bin", "%s/", { limit = LIMIT }))
    while j.pieces < 1 do shoal.sleep(0.02) end;]]):format(c.dir .. "/ann")
  local slow = fetch:gsub("LIMIT", '"600K"')
  local code, err = run(words(c, {}, "--no-progress", "--no-wait", "-e", slow))
  t.eq(code, 14, err)
  one_line(t, err, "shoal: stopped, unfinished: 'big one.bin' %(%d+%%%); the same command resumes")
  code, err = run(words(c, {}, "--no-progress", "--timeout", "2s", "-e", slow))
  t.eq(code, 11, err)
  one_line(t, err, "the time of %-%-timeout is over, unfinished: 'big one.bin' %(%d+%%%)")
  local p = assert(proc.spawn(words(c, {}, "--progress", "line", "-e", slow), { capture = true }))
  t.eventually(function() return p:errors():find("resumed=%d") end, 20)
  p:kill(15)
  t.eq(p:wait(20), 143)
  t.match(p:errors(), "stopped, unfinished: 'big one.bin'")
  code, err = run(words(c, {}, "--no-progress", "-e", (fetch:gsub("LIMIT", "0"))))
  t.eq(code, 0, err)
  t.eq(err, "")
  t.eq(shoal.hash(c.dir .. "/ann/big one.bin"), shoal.hash(c.dir .. "/big one.bin"))
  -- the list of what one shares is private
  local _, said, found = run { "/usr/bin/find", c.dir, "-name", "shares.db*", "-perm", "/077" }
  t.eq(found .. said, "")
  _, _, found = run { "/usr/bin/find", c.dir, "-name", "shares.db*" }
  t.match(found, "shares.db")
end)
