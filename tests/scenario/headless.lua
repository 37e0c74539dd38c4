-- A machine that seeds without a terminal, and a prompt on it from elsewhere.
local T = require "shoal.test"
local proc = require "shoal.proc"

-- The words that attach to a daemon of that folder.
local function attach(c, name, ...)
  return { shoal.build_folder .. "/shoal", "--data", c.dir .. "/" .. name .. "/data", "--attach", ... }
end

local function run(argv, text)
  local p = assert(proc.spawn(argv, { stdin = text, capture = true }))
  local code = p:wait(60)
  return code, p:output(), p:errors()
end

local function start(c, t, name, ...)
  local argv = c:command(name)
  for i, word in ipairs { "--daemon", "--log-file", c.dir .. "/" .. name .. ".log" } do table.insert(argv, 1 + i, word) end
  for _, word in ipairs { ... } do argv[#argv + 1] = word end
  local p = assert(proc.spawn(argv, { capture = true }))
  t.eventually(function() return run(attach(c, name, "-e", "trackers()")) == 0 or not p:alive() end, 30) -- it serves, and has a tracker
  if not p:alive() then error("the daemon ended: " .. p:errors(), 0) end
  return p
end

T.case("a daemon shares, is driven from elsewhere, and leaves in time", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  local path = c:file("big.bin", 5 * 524288 + 3)
  local p = start(c, t, "box")
  local code, out, err = run(attach(c, "box"), ([[
create_user box pw
login box pw
join_group g
for i = 1, 2 do
  print("line " .. i)
end
whoami().user
]]))
  t.eq(code, 0, out .. err)
  t.match(out, "ok\n.*line 1\nline 2\nbox\n$")
  t.ok(c.alice:accept_request("g", "box"))
  code, out = run(attach(c, "box"), ('upload_file "%s" g\nexit\nnever\n'):format(path))
  t.eq(code, 0, out)
  t.eventually(function() return #t.ok(c.alice:list_files("g")) == 1 end, 20)
  t.ok(c.alice:download_file("g", "big.bin", c.alice.dir .. "/"):wait(30))
  -- each visitor has a state of his own for what is half typed, and the failures of his lines only
  code, out, err = run(attach(c, "box", "-e", "x = 7", "-e", "x"))
  t.eq(out, "7\n")
  code, out = run(attach(c, "box", "-e", "join_group nowhere"))
  t.eq(code, 6)
  t.match(out, "nowhere")
  t.eq(run(attach(c, "box"), "for i = 1, 2 do\n"), 2)
  t.eq(run(attach(c, "box", "--json", "-e", "list_groups")), 0)
  local began = proc.mono()
  p:kill(15)
  t.eq(p:wait(20), 0)
  if proc.mono() - began > 2 then error(("it took %.1f s to leave"):format(proc.mono() - began)) end
  t.eq(run(attach(c, "box", "-e", "1")), 7)
  -- and shares again what it shared
  p = start(c, t, "box", "-e", 'assert(login("box", "pw"))')
  t.eventually(function() return t.ok(c.alice:file_info("g", "big.bin")).seeders[1] ~= nil end, 20)
  p:kill(15)
  t.eq(p:wait(20), 0)
end)

T.case("a script goes on while somebody is attached", function(t)
  local c = t.cluster{ trackers = 1 }
  local script = c.dir .. "/box.lua"
  local f = assert(io.open(script, "w"))
  f:write("beats = 0\nwhile true do beats = beats + 1 shoal.sleep(0.05) end\n")
  f:close()
  local p = start(c, t, "box", script)
  local function beats() return tonumber((select(2, run(attach(c, "box", "-e", "beats"))))) end
  local first = beats()
  t.eventually(function() return beats() > first end, 20)
  -- a line that runs for ever ends with whoever typed it
  local hung = assert(proc.spawn(attach(c, "box", "-e", "while true do end"), { capture = true }))
  shoal.sleep(0.3)
  hung:kill(2)
  t.eq(hung:wait(20), 1, hung:output() .. hung:errors())
  local gone = assert(proc.spawn(attach(c, "box", "-e", "shoal.sleep(3600)"), { capture = true }))
  shoal.sleep(0.3)
  gone:kill(9)
  gone:wait(10)
  local now = beats()
  t.eventually(function() return beats() > now end, 20)
  p:kill(15)
  t.eq(p:wait(20), 0, p:errors())
end)

T.case("systemd is told when it is ready, and that it stops", function(t)
  local c = t.cluster{ trackers = 1 }
  local sock = proc.datagrams(c.dir .. "/notify")
  local argv = c:command("box")
  table.insert(argv, 2, "--daemon")
  table.insert(argv, 1, "NOTIFY_SOCKET=" .. c.dir .. "/notify")
  table.insert(argv, 1, "/usr/bin/env")
  local p = assert(proc.spawn(argv, { capture = true }))
  t.eq(sock:receive(30), "READY=1")
  p:kill(15)
  t.eq(p:wait(20), 0)
  t.eq(sock:receive(10), "STOPPING=1")
  sock:close()
end)

T.case("two on one socket, and options that make no sense", function(t)
  local c = t.cluster{ trackers = 1 }
  local p = start(c, t, "box")
  local argv = c:command("box")
  table.insert(argv, 2, "--daemon")
  local code, _, err = run(argv)
  t.eq(code, 7)
  t.match(err, "somebody else serves")
  p:kill(15)
  t.eq(p:wait(20), 0)
  code, _, err = run { shoal.build_folder .. "/shoal", "--attach", "127.0.0.1:0" }
  t.eq(code, 2)
  t.match(err, "%-%-attach takes no address")
end)

-- A bare system has no pseudo-terminals.
if not pcall(proc.terminal, 80) then
  local case = T.case
  T.case = function(name) case(name, function(t) t.skip("no terminals here") end) end
end

T.case("at a terminal the attached prompt is one", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  local p = start(c, t, "box")
  local tty = proc.terminal(80)
  local a = assert(proc.spawn(attach(c, "box"), { terminal = tty }))
  local function shows(text) t.eventually(function() return tty:text():find(text, 1, true) or not a:alive() end, 20) t.match(tty:text(), text:gsub("%p", "%%%0")) end
  shows("t1> ")
  tty:type("create_user box\r")
  shows("password for box: ")
  tty:type("secret\r")
  shows("again: ")
  tty:type("secret\r")
  t.eventually(function() return tty:text():find("ok\r", 1, true) end, 20)
  tty:type('login box "secret"\r')
  shows("box@t1> ")
  tty:type("join_group g\r")
  t.eventually(function() return #t.ok(c.alice:list_requests("g")) == 1 end, 20)
  tty:type("x = 'half a li") -- news come while a line is being typed
  t.ok(c.alice:accept_request("g", "box"))
  t.ok(c.alice:upload_file(c:file("new.bin", 1000), "g"):wait(20))
  shows("alice shares 'new.bin' in g")
  tty:type("ne'\rx .. '!'\r")
  shows("half a line!")
  t.eventually(function() return tty:text():find("half a line!\r\n.*box@t1> ") end, 20) -- it reads keys again
  tty:type("\4")
  t.eq(a:wait(20), 0)
  t.eq(io.open(c.dir .. "/box/data/state/history"):read("a"):find("secret", 1, true), nil)
  p:kill(15)
  t.eq(p:wait(20), 0)
end)
