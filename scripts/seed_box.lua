-- A machine that keeps everything of some groups and seeds it for ever. Meant for --daemon:
--
--   shoal --daemon --password-file F IP:PORT TRACKER_FILE scripts/seed_box.lua FOLDER GROUP... [--user NAME]
--
-- Each group gets a folder of its own below FOLDER. What was shared before is shared again at the login.
shoal.require_api(1)

local args = shoal.args
local folder = args[1]
if not folder or not args[2] then
  io.stderr:write("usage: seed_box.lua FOLDER GROUP... [--user NAME]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end

local watches = {}
for i = 2, #args do watches[#watches + 1] = assert(watch_group(args[i], { dest = folder .. "/" .. args[i] })) end
shoal.on("job.done", function(ev) shoal.log.info("seed box: %s of %s is here", ev.file, ev.group) end)
while true do shoal.sleep("1h") end -- until SIGTERM
