-- What a group's owner wants to know on Monday morning: members, open requests, files without a seeder.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/report.lua GROUP [--user NAME] [--as-json]
shoal.require_api(1)

local args = shoal.args
local group = args[1]
if not group then
  io.stderr:write("usage: report.lua GROUP [--user NAME] [--as-json]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end

local members, files = assert(list_members(group)), assert(list_files(group, { all = true }))
local requests, err = list_requests(group)
if not requests then
  if err.code ~= "denied" then error(err) end
  requests = {} -- a member may not see them
end

local bytes, lost = 0, {}
for _, f in ipairs(files) do
  bytes = bytes + f.size
  if f.seeders == 0 then lost[#lost + 1] = { name = f.name, size = f.size, owner = f.owner } end
end

if args["as-json"] then
  print(shoal.json.encode { group = group, members = members, requests = requests, files = #files, bytes = bytes, unavailable = lost })
  return
end
local online = 0
for _, m in ipairs(members) do online = online + (m.online and 1 or 0) end
print(("%s: %d members (%d online), %d open requests, %d files, %s"):format(group, #members, online, #requests, #files,
  shoal.fmt.bytes(bytes)))
if #lost > 0 then
  print(("%d files that nobody online has:"):format(#lost))
  io.write(shoal.fmt.table(lost))
end
