-- Lets people into a group of yours: everybody whose name stands in a file, a name a line, and nobody else.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/doorman.lua GROUP NAMES_FILE [--user NAME] [--watch]
--
-- The others' requests stay open, for you to decide. With --watch it stays and answers new requests at once; the file is
-- read anew each time.
shoal.require_api(1)

local args = shoal.args
local group, path = args[1], args[2]
if not path then
  io.stderr:write("usage: doorman.lua GROUP NAMES_FILE [--user NAME] [--watch]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end

local function invited()
  local names = {}
  for line in io.lines(path) do names[line:match("^%s*(.-)%s*$")] = true end
  return names
end

local function open_door()
  local names = invited()
  for _, request in ipairs(assert(list_requests(group))) do
    if not names[request.user] then
      print(("%s is not on the list"):format(request.user))
    else
      local ok, err = accept_request(group, request.user)
      print(ok and ("%s is in"):format(request.user) or ("%s: %s"):format(request.user, err.message))
    end
  end
  io.stdout:flush()
end

if args.watch then
  shoal.on("member.requested", function(ev) if ev.group == group then open_door() end end)
  shoal.on("session.started", open_door) -- after a failover: who asked meanwhile
end
open_door()
while args.watch do shoal.sleep("1h") end -- until Ctrl-C or SIGTERM
