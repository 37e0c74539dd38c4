-- A folder as a drop-box: what is put into it is shared with a group, at once and as long as the script runs.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/drop_box.lua GROUP FOLDER [--user NAME] [--every 5s]
--
-- A file is taken when it has not changed between two looks; names that begin with a dot or end in .part are left alone.
shoal.require_api(1)

local args = shoal.args
local group, folder = args[1], args[2]
if not folder then
  io.stderr:write("usage: drop_box.lua GROUP FOLDER [--user NAME] [--every 5s]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end
assert(list_members(group)) -- a mistake in the name is better told now

local sizes, shared = {}, {}

local function size_of(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local size = f:seek("end")
  f:close()
  return size
end

local function look()
  for _, path in ipairs(shoal.glob(folder .. "/*")) do
    local size = size_of(path)
    local ready = size and size == sizes[path] and not shared[path] and not path:find("%.part$")
    sizes[path] = size
    if ready then
      shared[path] = true
      shoal.spawn(function()
        local res, err = upload_file(path, group):wait()
        print(res and ("%s  %s"):format(path, shoal.fmt.bytes(res.bytes)) or ("%s: %s"):format(path, err.message))
        io.stdout:flush()
        if err and err.retryable then shared[path] = nil end
      end)
    end
  end
end

shoal.every(args.every or "5s", look)
look()
while true do shoal.sleep("1h") end -- until Ctrl-C or SIGTERM
