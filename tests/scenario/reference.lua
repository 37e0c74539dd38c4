-- The reference: what was generated is what the program says today, and every example in it runs as it stands.
local T = require "shoal.test"
local proc = require "shoal.proc"

local function read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read("a")
  f:close()
  return text
end

T.case("the generated files are not stale", function(t)
  local folder = proc.temp_folder("shoal-reference")
  local p = assert(proc.spawn({ shoal.build_folder .. "/shoal", "--test", "scripts/reference.lua", "--", folder }, { capture = true }))
  t.eq(p:wait(60), 0, p:output() .. p:errors())
  for _, name in ipairs { "api.md", "man/shoal.1", "man/shoal-api.3", "editor/shoal.d.lua", "editor/shoal.luacheck.lua" } do
    if read(folder .. "/" .. name) ~= read("docs/" .. name) then error(("docs/%s is stale: run make reference"):format(name), 0) end
  end
  proc.remove_tree(folder)
end)

-- Before each example: what the session types first (`first`), what is done elsewhere (`before`), who types it (`user`),
-- what is typed behind it (`last`). In this order; every command of the reference has its line.
local JOB = 'job = download_file("team", "document.pdf", "slow/", {limit="50K"})'
local function bob_joins(c, t)
  t.ok(c.bob:join_group("team"))
end
local function bob_is_in(c, t, alice)
  bob_joins(c, t)
  alice('accept_request team bob')
end

local ORDER = {
  { "create_user", login = false }, { "login", login = false }, { "whoami" }, { "list_sessions" }, { "trackers" },
  { "use_tracker" }, { "limits" }, { "wait_synced" }, { "delete_group" }, { "create_group" }, { "list_groups" },
  { "reject_request", before = bob_joins }, { "list_requests", before = bob_joins }, { "accept_request" },
  { "list_members" }, { "set_role" },
  { "join_group", user = "dave" },
  { "upload_file" }, { "upload_dir" },
  { "list_files", before = function(c, t)
    for _, name in ipairs { "document.pdf", "a", "b" } do t.ok(c.bob:upload_file(c.here .. "/" .. name, "team"):wait(30)) end
    t.ok(c.bob:upload_dir(c.here .. "/photos", "team"))
  end },
  { "file_info" }, { "download_file" }, { "download_batch" }, { "download_dir" }, { "watch_group" },
  { "wait_all" }, { "show_downloads", first = JOB, last = "job:cancel()" }, { "wait_any", first = JOB }, { "jobs", first = JOB, last = "job:cancel()" },
  { "job", first = JOB, last = "job:cancel()" }, { "job_wait", first = 'job = download_file("team", "document.pdf", "fast/")' },
  { "job_pause", first = JOB, last = "job:cancel()" }, { "job_resume", first = JOB .. "\njob:pause()", last = "job:cancel()" },
  { "job_cancel", first = JOB }, { "job_limit", first = JOB, last = "job:cancel()" }, { "job_peers", first = JOB, last = "job:cancel()" },
  { "job_explain", first = JOB, last = "job:cancel()" },
  { "stop_share", first = "upload_file document.pdf team" },
  { "list_conflicts" }, { "remove_member" }, { "transfer_group", before = bob_is_in },
  { "leave_group", before = function(c, t) t.ok(c.bob:transfer_group("team", "alice")) end },
  { "change_password" }, { "logout" }, { "end_session" },
}

T.case("every example runs as it stands", function(t)
  local c = t.cluster{ trackers = 2, peers = { "bob" } }
  for _, who in ipairs { "bob" } do t.ok(c[who]:use_tracker(1)) end
  rawset(c, "here", c.dir .. "/here")
  c:file("here/document.pdf", 200000)
  c:file("here/a", 1000)
  c:file("here/b", 2000)
  c:file("here/photos/one.jpg", 3000)
  c:file("here/photos/two.tmp", 3000)
  local secret = c.dir .. "/secret"
  local f = assert(io.open(secret, "w"))
  f:write("pw\n")
  f:close()

  local function types(user, text)
    local argv = c:command("of-" .. user)
    for i, word in ipairs { "--password-file", secret, "--no-progress", "--auto-login=yes" } do table.insert(argv, 1 + i, word) end
    local p = assert(proc.spawn(argv, { stdin = text .. "\n", cwd = c.here, capture = true }))
    t.eq(p:wait(60), 0, text .. "\n" .. p:output() .. p:errors())
    t.eq(p:errors(), "", text)
    return p:output()
  end
  local function alice(line) return types("alice", "login alice\nuse_tracker(1)\n" .. line) end

  types("dave", "create_user dave")
  local commands, left = {}, 0
  for _, cmd in ipairs(shoal.reference().commands) do
    commands[cmd.name] = cmd
    left = left + 1
  end
  for _, step in ipairs(ORDER) do
    local cmd = assert(commands[step[1]], step[1])
    commands[step[1]] = nil
    left = left - 1
    if step.before then step.before(c, t, alice) end
    local user, lines = step.user or "alice", {}
    if step.login ~= false then lines = { "login " .. user, "use_tracker(1)" } end
    lines[#lines + 1] = step.first
    lines[#lines + 1] = cmd.example
    lines[#lines + 1] = step.last
    types(user, table.concat(lines, "\n"))
  end
  for name in pairs(commands) do error(name .. ": its example was not run", 0) end
  t.eq(left, 0)
  t.eq(shoal.hash(c.here .. "/downloads/document.pdf"), shoal.hash(c.here .. "/document.pdf"))
  t.eq(shoal.hash(c.here .. "/dl/photos/one.jpg"), shoal.hash(c.here .. "/photos/one.jpg"))
end)
