-- Writes the reference from the one table of commands: docs/api.md, the manual pages, and the files for editors.
-- usage: make reference, which runs: shoal --test scripts/reference.lua -- FOLDER
local T = require "shoal.test"
local proc = require "shoal.proc"

local folder = assert(arg and arg[1], "usage: shoal --test scripts/reference.lua -- FOLDER")
local ref = shoal.reference()

-- What stands in no table of C: functions of the module that are no commands. A test holds it against the module itself.
local MODULE = {
  { "on", "event, fn", "subscription", "Calls fn with each event of that name; \"job.*\" takes all of a kind. sub:off() ends it." },
  { "wait_event", "event [, match] [, seconds]", "event", "Waits for an event that has the fields of `match`, or for which the function `match` is true." },
  { "fire", "event [, fields]", "nothing", "Makes an event, to try handlers." },
  { "spawn", "fn, ...", "task", "Runs fn as a task: task:wait([seconds]), task:cancel()." },
  { "work", "fn, ...", "task", "The same; the program waits for it at its end." },
  { "sleep", "seconds", "nothing", "Waits; other tasks, events and transfers go on." },
  { "after", "seconds, fn", "timer", "Calls fn once, later. timer:stop()." },
  { "every", "seconds, fn", "timer", "Calls fn again and again. timer:stop()." },
  { "fail", "code, message [, op]", "nil, err", "Fails as commands do." },
  { "config", "[table]", "table", "Merges settings, gives the active ones." },
  { "require_api", "n", "nothing", "Raises a clear message if this shoal is too old." },
  { "hash", "path", "text", "SHA-256 of a file, in hex." },
  { "glob", "pattern", "{path, ...}", "Paths that match." },
  { "now", "", "seconds", "Seconds since 1970." },
  { "mono", "", "seconds", "Seconds of a clock that is never set." },
  { "reference", "", "{commands, options, errors}", "The tables that this page is made from." },
  { "fmt.bytes", "n", "text", "117.7 MiB" },
  { "fmt.rate", "n", "text", "4.8 MiB/s" },
  { "fmt.time", "seconds", "text", "1h01" },
  { "fmt.table", "rows", "text", "An aligned table." },
  { "json.encode", "value", "text", "JSON." },
  { "json.decode", "text", "value", "A value, or nil, err." },
  { "log.debug", "fmt, ...", "nothing", "A line in the log." },
  { "log.info", "fmt, ...", "nothing", "A line in the log." },
  { "log.warn", "fmt, ...", "nothing", "A line in the log." },
  { "log.error", "fmt, ...", "nothing", "A line in the log." },
}
local PARTS = { -- the first command of each part
  create_user = "Account", create_group = "Groups", upload_file = "Files", download_batch = "Many files at once",
  show_downloads = "Jobs", trackers = "Trackers and limits",
}
local NOTE = "made by scripts/reference.lua from the table of commands; do not edit"

-- -- a page is a list of lines

local function page()
  local lines = {}
  local function add(fmt, ...) lines[#lines + 1] = select("#", ...) > 0 and fmt:format(...) or fmt end
  return lines, add
end

local function save(name, lines)
  local path = folder .. "/" .. name
  proc.mkdir(path:match("^(.*)/"))
  local f = assert(io.open(path, "w"))
  assert(f:write(table.concat(lines, "\n"), "\n"))
  assert(f:close())
end

local function opts_of(cmd)
  for _, a in ipairs(cmd.args) do if a.opts then return a.opts, a.name end end
  return {}
end

local function opt_text(o)
  return (o.choices and ("one of %s"):format(o.choices:gsub("|", ", ")) or o.kind)
end

-- -- docs/api.md

local function markdown()
  local lines, add = page()
  add("<!-- %s -->", NOTE)
  add("# Reference of the command language")
  add("")
  add("All commands, with their options and an example that the tests run as it stands. [scripting.md](scripting.md) tells how")
  add("results, errors, jobs and events work. API level %d, shoal %s.", shoal.api, shoal.version)
  for _, cmd in ipairs(ref.commands) do
    if PARTS[cmd.name] then add("\n## %s", PARTS[cmd.name]) end
    add("\n### %s\n", cmd.usage)
    add("%s", cmd.summary)
    add("")
    add("- gives: `%s`", cmd.gives)
    if cmd.typed then
      add("- typed: `%s`%s", cmd.typed, cmd.spaced and (", or `%s ...`"):format(cmd.spaced) or "")
    end
    for _, a in ipairs(cmd.args) do add("- `%s`: %s%s", a.name, a.kind, a.optional and ", may be left out" or "") end
    for _, o in ipairs((opts_of(cmd))) do add("    - `%s`: %s; %s", o.name, opt_text(o), o.help) end
    add("- since %s%s", cmd.since, cmd.login and ", needs a login" or "")
    add("\n```lua\n%s\n```", cmd.example)
  end
  add("\n## The module\n\n| function | gives | |\n|---|---|---|")
  for _, f in ipairs(MODULE) do add("| `shoal.%s(%s)` | %s | %s |", f[1], f[2], f[3], f[4]) end
  add("\n## Error codes\n\n| err.code | exit code | |\n|---|---|---|")
  for _, e in ipairs(ref.errors) do add("| `%s` | %d | %s |", e.code, e.exit, e.text) end
  save("api.md", lines)
end

-- -- manual pages

local function roff(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-")
  return (text:gsub("^([.'])", "\\&%1"))
end

local function title(add, name, section, about)
  add('.\\" %s', NOTE)
  add('.TH %s %d "" "shoal %s" "shoal manual"', name:upper(), section, shoal.version)
  add(".SH NAME\n%s \\- %s", roff(name), roff(about))
end

local function manual_1()
  local lines, add = page()
  title(add, "shoal", 1, "private file sharing of a group: a peer with a programmable prompt")
  add(".SH SYNOPSIS")
  add(".B shoal\n.RI [ options ]\n.I IP:PORT TRACKER_FILE\n.RI [ SCRIPT\n.RI [ ARG ...]]\n.br")
  add(".B shoal \\-\\-test\n.IR FILE | DIR\n.RB [ \\-\\-\n.IR ARG ...]")
  add(".SH DESCRIPTION")
  add(roff("Shares files with the members of groups and fetches theirs, from all who have them at once. IP:PORT is where it "
    .. "listens for peers; port 0 is any free one. TRACKER_FILE has a line HOST:PORT ID for each tracker. Without a script it "
    .. "reads commands: at a terminal with a prompt, else a line at a time."))
  add(".SH OPTIONS")
  for _, o in ipairs(ref.options) do
    local names = {}
    for _, n in ipairs { o.letter or false, o.name or false } do
      if n then names[#names + 1] = "\\fB" .. roff(n) .. "\\fR" end
    end
    add(".TP\n%s%s\n%s", table.concat(names, ", "), o.value and " \\fI" .. roff(o.value) .. "\\fR" or "", roff(o.help))
  end
  add(".SH COMMANDS")
  add(roff("Typed at the prompt as a shell's words, or called as Lua functions; shoal-api(3) has their arguments."))
  for _, cmd in ipairs(ref.commands) do
    if cmd.typed then add(".TP\n\\fB%s\\fR\n%s", roff(cmd.typed), roff(cmd.summary)) end
  end
  add(".SH EXIT STATUS")
  add(".TP\n0\nall done\n.TP\n3\nthe script ended, but failures were never looked at")
  local by = {}
  for _, e in ipairs(ref.errors) do by[e.exit] = (by[e.exit] and by[e.exit] .. ", " or "") .. e.code end
  for code = 1, 20 do if by[code] then add(".TP\n%d\n%s", code, roff(by[code])) end end
  add(".TP\n15\nnothing to do (\\-\\-fail\\-if\\-empty)\n.TP\n16\nscenarios failed\n.TP\n20\nseveral kinds of failure")
  add(".TP\n130, 143\ninterrupted, terminated")
  add(".SH SEE ALSO\n.BR shoal\\-api (3)")
  save("man/shoal.1", lines)
end

local function manual_3()
  local lines, add = page()
  title(add, "shoal-api", 3, "the commands of shoal as Lua functions")
  add(".SH DESCRIPTION")
  add(roff("A command gives a value, or nil and an err object (code, message, op, retryable, where). A wrong call raises. "
    .. "Transfers give a job at once: job:wait() makes them synchronous."))
  for _, cmd in ipairs(ref.commands) do
    if PARTS[cmd.name] then add(".SH %s", PARTS[cmd.name]:upper()) end
    add(".SS %s", roff(cmd.usage))
    add("%s\n.br\ngives: %s", roff(cmd.summary), roff(cmd.gives))
    for _, o in ipairs((opts_of(cmd))) do add(".TP\n\\fB%s\\fR (%s)\n%s", roff(o.name), roff(opt_text(o)), roff(o.help)) end
    add(".PP\n.nf\n.RS\n%s\n.RE\n.fi", roff(cmd.example))
  end
  add(".SH THE MODULE")
  for _, f in ipairs(MODULE) do add(".TP\n\\fBshoal.%s\\fR(%s)\n%s", roff(f[1]), roff(f[2]), roff(f[4])) end
  add(".SH SEE ALSO\n.BR shoal (1)")
  save("man/shoal-api.3", lines)
end

-- -- for editors

local TYPES = { ["a string"] = "string", ["a number"] = "integer", ["true or false"] = "boolean", ["a job"] = "shoal.job|integer",
  ["a list of jobs"] = "shoal.job[]", ["a stamp"] = "shoal.stamp|string", ["a table"] = "table",
  ["a list of tables"] = "table[]", ["a pattern or a list of them"] = "string|string[]", ['"all" or a number'] = "string|integer" }
local GIVES = { stamp = "shoal.stamp", job = "shoal.job", ["true"] = "boolean", set = "shoal.set", watch = "shoal.watch",
  ["{job, ...}"] = "shoal.job[]", ["a sentence"] = "string", ["job, result"] = "shoal.job" }

local function type_of(a)
  if a.choices then return '"' .. a.choices:gsub("|", '"|"') .. '"' end
  return TYPES[a.kind] or (a.kind:find("^a string or") and "string|table") or "number|string"
end

local function luals()
  local lines, add = page()
  add("---@meta shoal\n-- %s\n-- For the Lua language server: put its folder into workspace.library.", NOTE)
  add("\n---@class shoal.stamp\n---@field text string\n---@field synced integer?")
  add("\n---@class shoal.err\n---@field code string\n---@field message string\n---@field op string\n---@field retryable boolean\n---@field where string?")
  add("\n---@class shoal.set\n---@field jobs shoal.job[]\nlocal set = {}\n---@return table?, shoal.err?\nfunction set:wait(seconds) end\nfunction set:cancel() end\n---@return table\nfunction set:report() end")
  add("\n---@class shoal.watch\n---@field fetched integer\n---@field failed integer\nlocal watch = {}\nfunction watch:stop() end\nfunction watch:wait(seconds) end")
  add("\n---@class shoal.job")
  for _, field in ipairs { "id integer", "kind string", "group string", "file string", "path string", "state string", "bytes integer",
    "total integer", "rate integer", "eta integer?", "error shoal.err?" } do add("---@field %s", field) end
  add("local job = {}\n\n---@class shoal\nshoal = {}")
  for _, cmd in ipairs(ref.commands) do
    add("\n---%s Example: `%s`", cmd.summary, cmd.example)
    local names = {}
    for _, a in ipairs(cmd.args) do
      names[#names + 1] = a.name
      if a.opts then
        local fields = {}
        for _, o in ipairs(a.opts) do fields[#fields + 1] = ("%s?: %s"):format(o.name, type_of(o)) end
        local also = a.kind:find("^a string or") and "string|" or ""
        add("---@param %s%s %s{%s}", a.name, a.optional and "?" or "", also, table.concat(fields, ", "))
      else
        add("---@param %s%s %s", a.name, a.optional and "?" or "", type_of(a))
      end
    end
    add("---@return %s?, shoal.err?", GIVES[cmd.gives] or "table")
    add("function %s%s(%s) end", cmd.of == "job" and "job:" or cmd.of == "shoal" and "shoal." or "", cmd.call, table.concat(names, ", "))
  end
  for _, part in ipairs { "fmt", "json", "log" } do add("\nshoal.%s = {}", part) end
  for _, f in ipairs(MODULE) do
    add("\n---%s\nfunction shoal.%s(%s) end", f[4], f[1], (f[2]:gsub("[%[%]]", ""):gsub("%s+,", ",")))
  end
  save("editor/shoal.d.lua", lines)
end

local function luacheck()
  local lines, add = page()
  add("-- %s\n-- In .luacheckrc: stds.shoal = dofile(\"FOLDER/shoal.luacheck.lua\"); std = \"lua54+shoal\"", NOTE)
  add("return {\n  globals = { \"shoal\" },\n  read_globals = {")
  for _, cmd in ipairs(ref.commands) do if not cmd.of then add('    "%s",', cmd.call) end end
  add("  },\n}")
  save("editor/shoal.luacheck.lua", lines)
end

T.case("the reference", function(t)
  local listed = {}
  for _, cmd in ipairs(ref.commands) do if cmd.of == "shoal" then listed[cmd.call] = true end end
  for _, f in ipairs(MODULE) do
    local value = shoal
    for part in f[1]:gmatch("[^.]+") do value = value[part] end
    t.eq(type(value), "function", f[1])
    listed[f[1]] = true
  end
  local function check(of, prefix)
    for name, value in pairs(of) do
      if type(value) == "function" and not listed[prefix .. name] then error("shoal." .. prefix .. name .. " stands in no table") end
      if type(value) == "table" and prefix == "" and name ~= "args" then check(value, name .. ".") end
    end
  end
  check(shoal, "")
  markdown()
  manual_1()
  manual_3()
  luals()
  luacheck()
end)
