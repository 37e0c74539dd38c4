-- Hands files to a whole group: uploads them and stays until every member has them all.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/fan_out.lua GROUP FILE... [--user NAME] [--timeout 1h] [--online]
--
-- The members run scripts/mirror.lua, or fetch by hand. One who fetches and leaves at once may not be noticed: let them
-- use --watch or --stay. --online waits only for those who are online. Exit code 0: all have everything; 11: the time
-- was over.
shoal.require_api(1)

local args = shoal.args
local group, timeout = args[1], args.timeout or "1h"
if not group or not args[2] then
  io.stderr:write("usage: fan_out.lua GROUP FILE... [--user NAME] [--timeout 1h] [--online]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end
local me = assert(whoami()).user

local jobs = {}
for i = 2, #args do jobs[#jobs + 1] = upload_file(args[i], group) end
assert(wait_all(jobs))

local has = {} -- file -> user -> true; who has it and goes offline still has it
for _, job in ipairs(jobs) do
  has[job.file] = { [me] = true }
  print(("%s is shared with %s"):format(job.file, group))
end

-- Who still lacks something, as words.
local function lacking()
  local names = {}
  for file, users in pairs(has) do
    for _, seeder in ipairs(assert(file_info(group, file)).seeders) do
      if seeder.complete then users[seeder.user] = true end
    end
  end
  for _, member in ipairs(assert(list_members(group))) do
    local n = 0
    for _, users in pairs(has) do n = n + (users[member.user] and 0 or 1) end
    if n > 0 and (member.online or not args.online) then
      names[#names + 1] = ("%s (%d of %d missing%s)"):format(member.user, n, #jobs, member.online and "" or ", offline")
    end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

local late, told = false, nil
shoal.after(timeout, function() late = true end)
while true do
  local names = lacking()
  if names == "" then break end
  if names ~= told then print("waiting for " .. names) end
  io.stdout:flush()
  told = names
  if late then
    io.stderr:write("not everybody has it after ", timeout, ": ", names, "\n")
    os.exit(11)
  end
  shoal.sleep(0.5)
end
print("everybody has it")
