-- The prompt at a real terminal: what is typed, what comes meanwhile, dot commands, locals, Ctrl-C, narrow and dumb terminals.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("a")
  f:close()
  return text
end

-- A client at a terminal of its own: d:type(keys), d:shows(text), d:line(text) types it and waits for the next prompt.
local function sit(c, t, name, opts)
  opts = opts or {}
  local d = { tty = proc.terminal(opts.columns or 80), seen = 1 }
  local argv = c:command(name)
  table.insert(argv, 1, "TERM=" .. (opts.term or "xterm"))
  table.insert(argv, 1, "/usr/bin/env")
  d.process = assert(proc.spawn(argv, { terminal = d.tty, cwd = c.dir }))
  -- What stands there, without the sequences that move the cursor.
  function d.text() return (d.tty:text():gsub("\27%[[%d;?]*%a", ""):gsub("\27[^%a]*$", ""):gsub("\r", "")) end
  local function find(text)
    local from, to = d.text():find(text, d.seen, true)
    if to then d.seen = to + 1 end
    return from
  end
  function d.type(_, keys) d.tty:type(keys) end
  -- Waits until it stands there, behind what was waited for before.
  function d.shows(_, text)
    local deadline = proc.mono() + 20
    while not find(text) do
      if proc.mono() > deadline or not d.process:alive() and not find(text) then
        error(("%q is not shown, but %q"):format(text, d.text():sub(d.seen)), 2)
      end
      shoal.sleep(0.01)
    end
  end
  function d.line(_, text, shows)
    d.tty:type(text .. "\r")
    if shows then d:shows(shows) end
    d:shows("> ")
  end
  d:shows("> ")
  return d
end

local function leave(t, d)
  d:type("\4")
  t.eq(d.process:wait(20), 0)
end

-- A bare system has no pseudo-terminals.
if not pcall(proc.terminal, 80) then
  local case = T.case
  T.case = function(name) case(name, function(t) t.skip("no terminals here") end) end
end

T.case("values, locals, statements of several lines, the last value", function(t)
  local d = sit(t.cluster{ trackers = 1 }, t, "ann")
  d:line("local x, y = 20, 22", "\n")
  d:line("x + y", "\n42\n")
  d:line("_ + 1", "\n43\n")
  d:line("out[1]", "\n42\n")
  d:line("local function twice(n)", "...")
  d:line("return 2 * n", "...")
  d:line("end", "\n")
  d:line("twice(x)", "\n40\n")
  d:line("local s, t = 'käse'", "\n")
  d:line("#s", "\n5\n")
  d:line("for i = 1, 2 do local x = i end", "\n")
  d:line("x", "\n20\n") -- one of an inner block stays there
  leave(t, d)
end)

T.case("news come above half a line, which is then typed to its end", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  local d = sit(c, t, "ann")
  d:line("login alice pw-alice", "ok")
  d:type("z = 'one ")
  d:shows("z = 'one ")
  local bob = c:client("bob")
  t.ok(bob:join_group("g"))
  d:shows("bob asks to join g: accept_request g bob\n")
  d:shows("z = 'one ") -- the line is there again
  d:type("two'\r")
  d:shows("> ")
  d:line("z", "one two\n")
  d:line("accept_request g bob", "ok")
  -- Ctrl-C clears a line, and stops what runs
  d:type("never typed")
  d:shows("never typed")
  d:type("\3")
  d:shows("^C")
  d:shows("> ")
  d:type("while true do end\r")
  d:shows("\n")
  shoal.sleep(0.2)
  d:type("\3")
  d:shows("interrupted")
  d:shows("> ")
  -- Ctrl-R finds an earlier line
  d:type("\18acce")
  d:shows("acce")
  d:type("\r")
  d:shows("(exists)")
  d:shows("> ")
  d:type("\4")
  t.eq(d.process:wait(20), 0)
end)

T.case("rc.lua runs before the prompt", function(t)
  local c = t.cluster{ trackers = 1 }
  proc.mkdir(c.dir .. "/ann/data/config")
  local f = assert(io.open(c.dir .. "/ann/data/config/rc.lua", "w"))
  f:write("local n = select('#', ...)\nfunction greet() return 'words: ' .. n end\n")
  f:close()
  local d = sit(c, t, "ann")
  d:line("greet()", "words: 0\n")
  leave(t, d)
end)

T.case("dot commands", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.alice:upload_file(c:file("a, b.bin", 600000), "g"):wait(20))
  local d = sit(c, t, "ann")
  d:line(".record did.lua", "\n")
  d:line("login alice pw-alice", "ok")
  d:line(".mode csv", "\n")
  d:line("list_files g", 'name,')
  d:line('return {{b="x, \\"y\\""}}', 'b\n"x, ""y"""\n')
  d:line(".mode json", "\n")
  d:line("list_groups", '[{"')
  d:line(".mode table", "\n")
  d:line(".mode nonsense", "error: it is .mode table|json|csv|tsv")
  d:line('download_file g "a, b.bin" dl/ limit=300K', "a, b.bin")
  d:line(".fg 1", "[C] [g] a, b.bin")
  d:line(".fg 99", "no job 99")
  d:line(".fgg 1", "did you mean '.fg'?")
  d:line(".time on", "\n")
  d:line("1", " s\n")
  d:line(".time off", "\n")
  d:line("join_group nowhere", "(not_found)")
  d:line("change_password pw-alice other", "ok")
  d:line("n = 0", "\n")
  d:type(".watch 0.3 (function() n = n + 1 return 'round ' .. n end)()\r")
  d:shows("round 2")
  d:type("\3")
  d:shows("> ")
  d:line(".record stop", "\n")
  local f = assert(io.open(c.dir .. "/loaded.lua", "w"))
  f:write("loaded = 'yes, it is'\n")
  f:close()
  d:line(".load loaded.lua", "\n")
  d:line("loaded", "yes, it is")
  d:line(".help", ".record FILE|stop")
  d:type("\4")
  t.eq(d.process:wait(20), 0)
  local script = read(c.dir .. "/did.lua")
  t.match(script, 'assert%(login%("alice"%)%)\n')
  t.match(script, 'assert%(download_file%("g", "a, b.bin", "dl/", {limit = "300K"}%)%)\n')
  t.match(script, '%-%- assert%(join_group%("nowhere"%)%)\n')
  t.eq(script:find("pw-alice", 1, true), nil)
  t.eq(script:find("other", 1, true), nil)
  t.eq(read(c.dir .. "/ann/data/state/history"):find("pw%-alice"), nil)
  t.eq(shoal.hash(c.dir .. "/dl/a, b.bin"), shoal.hash(c.dir .. "/a, b.bin"))
  -- what was recorded runs
  local secret = c.dir .. "/secret"
  f = assert(io.open(secret, "w"))
  f:write("other\n")
  f:close()
  local argv = c:command("again")
  for _, word in ipairs { "--password-file", secret, "-e", script:match('assert%(login[^\n]*') .. script:match('assert%(download_file[^\n]*') } do argv[#argv + 1] = word end
  local p = assert(proc.spawn(argv, { capture = true, cwd = c.dir }))
  t.eq(p:wait(30), 0, p:errors())
end)

T.case("forty columns, a dumb terminal, no colours where none are wanted", function(t)
  local c = t.cluster{ trackers = 1, peers = { "alice" } }
  t.ok(c.alice:create_group("grüße-aus-köln"))
  for _, opts in ipairs { { columns = 40 }, { term = "dumb", columns = 40 } } do
    local d = sit(c, t, "ann-" .. (opts.term or "narrow"), opts)
    d:line("login alice pw-alice", "ok")
    d:line("list_groups", "grüße-aus-köln")
    d:line(('x = "%s"'):format(("y"):rep(60)), "\n")
    d:line("#x", "\n60\n")
    if opts.term == "dumb" and d.tty:text():find("\27", 1, true) then error("escape sequences on a dumb terminal") end
    leave(t, d)
  end
end)
