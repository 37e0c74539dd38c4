-- Bandwidth by the clock: a limit during the day, none (or another) at night. Meant beside other work: -l, or --daemon.
--
--   shoal --daemon ... scripts/by_the_clock.lua DAY NIGHT [--from 8] [--to 18] [--once]
--
-- DAY and NIGHT are bytes a second, down and up, such as 2M; 0 is no limit. --once sets what holds now and ends.
shoal.require_api(1)

local args = shoal.args
local day, night = args[1], args[2]
if not night then
  io.stderr:write("usage: by_the_clock.lua DAY NIGHT [--from HOUR] [--to HOUR] [--once]\n")
  os.exit(2)
end
local from, to = tonumber(args.from or 8), tonumber(args.to or 18)
local holds

local function look()
  local hour = os.date("*t").hour
  local limit = (hour >= from and hour < to) and day or night
  if limit == holds then return end
  holds = limit
  local now = assert(limits { down = limit, up = limit })
  print(("%02d h: %s down, %s up"):format(hour, now.down == 0 and "all" or shoal.fmt.rate(now.down),
    now.up == 0 and "all" or shoal.fmt.rate(now.up)))
  io.stdout:flush()
end

look()
if not args.once then
  shoal.every("1m", look)
  while true do shoal.sleep("1h") end
end
