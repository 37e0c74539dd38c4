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
