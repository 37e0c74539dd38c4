-- Scripts of others: --sandbox; and Ctrl-C, which ends any script.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function run(argv, options)
  options = options or {}
  options.capture = true
  local p = assert(proc.spawn(argv, options))
  local code = assert(p:wait(60), "it did not end")
  return code, p:errors(), p:output()
end

-- The client's words with --sandbox, in a working directory of its own.
local function boxed(c, script)
  local argv = c:command("eve")
  table.insert(argv, 2, "--sandbox")
  local path = c.dir .. "/script.lua"
  local f = assert(io.open(path, "w"))
  f:write(script)
  f:close()
  argv[#argv + 1] = path
  return argv
end

local function absolute(argv)
  local _, _, here = run{ "pwd" }
  if argv[1]:sub(1, 1) ~= "/" then argv[1] = here:gsub("\n", "") .. "/" .. argv[1] end
  return argv
end

local function inside(c)
  local dir = c.dir .. "/work"
  proc.mkdir(dir)
  return { cwd = dir }
end

T.case("what reaches files, programs or C is not there", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local code, err, out = run(absolute(boxed(c, [[
    local gone = {}
    local function is(name, v) if v ~= nil then gone[#gone + 1] = name end end
    for _, name in ipairs{ "io", "debug", "package", "dofile", "loadfile" } do is(name, rawget(_G, name)) end
    for _, name in ipairs{ "execute", "remove", "rename", "tmpname", "getenv", "setlocale" } do is("os." .. name, os[name]) end
    is("string.dump", string.dump)
    for _, name in ipairs{ "io", "debug", "package", "shoal.fs", "shoal.proc", "shoal.batch", "shoal.folder" } do
      local ok, why = pcall(require, name)
      if ok then gone[#gone + 1] = "require " .. name end
    end
    -- no way round: byte code, C modules, files of others
    is("byte code", (load("\27Lua")))
    is("byte code in mode b", (load("\27Lua", "x", "b")))
    if not load("return 1", "x", "t") or load("return a", "x", "t", { a = 7 })() ~= 7 then is("load", 1) end
    if pcall(shoal.hash, "/etc/passwd") then is("hash", 1) end
    if pcall(shoal.hash, "../../../../etc/passwd") then is("hash of a path upwards", 1) end
    if pcall(shoal.glob, "/etc/*") then is("glob", 1) end
    if pcall(upload_file, "/etc/passwd", "g") then is("upload_file", 1) end
    if pcall(upload_file, "~/x", "g") then is("upload_file from home", 1) end
    if pcall(download_file, "g", "f", "/tmp/x") then is("download_file", 1) end
    if pcall(download_file, "g", "f", "sub/../../x") then is("download_file upwards", 1) end
    if pcall(upload_dir, ".", "g") then is("upload_dir", 1) end
    print(#gone == 0 and "closed" or table.concat(gone, ", "))
  ]])), inside(c))
  t.eq(code, 0, err)
  t.eq(out, "closed\n", err)
end)

T.case("below the working directory it works, and a link out of it does not", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local where = inside(c)
  assert(run({ "sh", "-c", "echo inside > mine && mkdir sub && ln -s /etc/passwd leak && ln -s / up" }, where) == 0)
  local code, err, out = run(absolute(boxed(c, [[
    assert(create_user("eve", "pw")) assert(login("eve", "pw")) assert(create_group("g"))
    assert(upload_file("mine", "g"):wait())
    print((assert(shoal.hash("mine"))) == (assert(shoal.hash("./sub/../mine"))))
    local ok, why = pcall(shoal.hash, "leak")
    print(ok, why, (pcall(upload_file, "leak", "g")), (pcall(download_file, "g", "mine", "up/tmp/x")))
    local job = assert(download_file("g", "mine", "sub/copy"))
    assert(job:wait())
    print(shoal.hash("sub/copy") == shoal.hash("mine"))
  ]])), where)
  t.eq(code, 0, err)
  t.match(out, "^true\nfalse\t[^\n]*not below the working directory\tfalse\tfalse\ntrue\n$")
end)

T.case("memory and computing have an end, pcall or not", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local code, err, out = run(absolute(boxed(c, [[
    local ok, why = pcall(function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1e6) .. i end end)
    print(ok, why)
    collectgarbage()
    print(xpcall(error, function(e) return e .. "!" end, "x"), (pcall(setmetatable, {}, { __gc = print })),
      getmetatable(setmetatable({}, { __index = math })).__index == math, xpcall(select, print, 2, 7, 8))
    while true do pcall(function() while true do pcall(function() while true do end end) end end) end
  ]])), inside(c))
  t.eq(code, 1, err)
  t.match(out, "^false\tnot enough memory\nfalse\tfalse\ttrue\ttrue\t8\n")
  t.match(err, "used up its instructions")
  code, err = run(absolute(boxed(c, [[
    local function f() while true do end end
    while true do xpcall(f, f) end
  ]])), inside(c))
  t.eq(code, 1, err)
  t.match(err, "used up its instructions")
  code, err = run(absolute(boxed(c, [[
    while true do pcall(coroutine.wrap(function() for i = 1, 1000 do end end)) end
  ]])), inside(c))
  t.eq(code, 1, err)
  t.match(err, "used up its instructions")
end)

T.case("it goes with neither --test nor --batch", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local argv = c:command("eve")
  table.insert(argv, 2, "--sandbox")
  table.insert(argv, 3, "--batch=/dev/null")
  local code, err = run(argv)
  t.eq(code, 2, err)
  t.match(err, "%-%-sandbox goes with neither")
end)

T.case("Ctrl-C ends a script, whatever it catches", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local scripts = {
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(function() while true do pcall(function() while true do end end) end end) end",
    "while true do coroutine.resume(coroutine.create(function() while true do pcall(function() while true do end end) end end)) end",
    "while true do pcall(shoal.sleep, 1000) end",
  }
  for _, text in ipairs(scripts) do
    local argv = c:command("eve")
    local mark = c.dir .. "/begun"
    argv[#argv + 1] = "-e"
    argv[#argv + 1] = ("io.open(%q, 'w'):close() %s"):format(mark, text)
    local p = assert(proc.spawn(argv, { capture = true }))
    t.eventually(function() local f = io.open(mark) return f and f:close() end, 20)
    os.remove(mark)
    p:kill(2)
    local code = p:wait(20)
    if code == nil then p:kill(9) error("not ended by Ctrl-C: " .. text) end
    t.eq(code, 130, text)
  end
  -- one who does not even look at it: the second ends the program where it stands
  local argv = c:command("eve")
  local mark = c.dir .. "/begun"
  argv[#argv + 1] = "-e"
  argv[#argv + 1] = ([[local function f() io.open(%q, 'a'):write("x"):close() while true do end end xpcall(f, f)]]):format(mark)
  local function size() local f = io.open(mark) local n = f and #f:read("a") or 0 if f then f:close() end return n end
  local p = assert(proc.spawn(argv, { capture = true }))
  t.eventually(function() return size() == 1 end, 20)
  p:kill(2)
  t.eventually(function() return size() == 2 end, 20) -- it is in its handler now
  p:kill(2)
  t.eq(p:wait(20), 130)
end)
