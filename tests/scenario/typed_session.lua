-- A session typed into standard input: typed forms, spaced spellings, Lua, and honest exit codes.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function run(c, name, text)
  local client = c:command(name) -- the words that start a client of this cluster, with a folder of its own
  local p = assert(proc.spawn(client, { stdin = text, capture = true }))
  local code = assert(p:wait(60), "the session did not end")
  return code, p:output(), p:errors()
end

T.case("the specification's session, piped", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local path = c:file("my document.pdf", 600000)
  local code, out, err = run(c, "ann", ([[
create_user ann "pass word"
login ann "pass word"
create group project_team
list_groups
upload_file "%s" project_team
list_files project_team
for _, f in ipairs(list_files("project_team")) do
  print("LUA " .. f.name .. " " .. f.size)
end
show_downloads
stop_share project_team "my document.pdf"
logout
]]):format(path))
  t.eq(code, 0, err)
  t.match(out, "project_team")
  t.match(out, "LUA my document.pdf 600000")
end)

T.case("a failure is the exit code", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local code, _, err = run(c, "ann", "login ann nothing\n")
  t.eq(code, 4)
  t.match(err, "password")
  code = run(c, "ben", "create_user ben pw\nlogin ben pw\njoin_group nowhere\n")
  t.eq(code, 6)
end)

T.case("mistakes are told as by a shell, with the line", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local code, out, err = run(c, "ann", [[
list_files
foo bar
create usr ann
logn ann topsecret7
list_groups a b
x = = 3
y = (1 +

   2 +)
accept_request team
end_session
foo "bar"
_VERSION
login ann nothing
]])
  t.eq(out, "Lua 5.4\n")
  t.eq(code, 20)
  local want = {
    "stdin:1: error: list_files needs a group: list_files GROUP",
    "stdin:2: error: no command 'foo'",
    "stdin:3: error: no command 'create': did you mean 'create_user'?",
    "stdin:4: error: no command 'logn': did you mean 'login'?",
    "stdin:5: error: list_groups: one word too many: 'b'; it is list_groups [FILTER] (quote names with spaces)",
    "stdin:6: error: unexpected symbol near '='",
    "stdin:9: error: unexpected symbol near ')'",
    "stdin:10: error: accept_request needs a user: accept_request GROUP USER [ROLE]",
    "stdin:11: error: end_session needs an id: end_session ID",
    "stdin:12: error: no command 'foo'",
    "stdin:14: error: wrong user name or password (auth)",
  }
  local at = 0
  for line in err:gmatch("[^\n]+") do
    at = at + 1
    t.eq(line, want[at])
  end
  t.eq(at, #want)
end)
