-- Fetches every file of a group that is not here yet. With --watch it stays and fetches what is added later; with --stay 5m
-- it goes on sharing for that long.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/mirror.lua GROUP [FOLDER] [--user NAME] [--glob PATTERN]
--         [--watch | --stay DURATION]
--
-- Run it again at any time: what is complete is not fetched twice, what was interrupted goes on where it was.
shoal.require_api(1)

local args = shoal.args
local group, folder, glob = args[1], args[2] or ".", args.glob
if not group then
  io.stderr:write("usage: mirror.lua GROUP [FOLDER] [--user NAME] [--glob PATTERN] [--watch | --stay DURATION]\n")
  os.exit(2)
end
if args.user then assert(login(args.user)) end -- asks for the password, or reads it from --password-file

local busy = {} -- names of files that are on their way

-- Begins what is missing; gives the jobs.
local function fetch_missing()
  local jobs = {}
  for _, f in ipairs(assert(list_files(group, { glob = glob }))) do
    if not f.have and not busy[f.name] then
      busy[f.name] = true
      jobs[#jobs + 1] = download_file(group, f.name, folder .. "/")
    end
  end
  return jobs
end

-- Waits for the jobs; prints a line for each. The error of the first that failed, or nil.
local function finish(jobs)
  local first
  for _, job in ipairs(jobs) do
    local res, err = job:wait()
    busy[job.file] = nil
    if res then
      print(("%s  %s  %s"):format(res.path, shoal.fmt.bytes(res.bytes), shoal.fmt.rate(res.rate)))
    else
      io.stderr:write(job.file, ": ", err.message, "\n")
      first = first or err
    end
    io.stdout:flush()
  end
  return first
end

local function round() return finish(fetch_missing()) end

if args.watch then
  -- Subscribed before the first look, so that nothing is missed in between; each handler runs as a task of its own.
  shoal.on("file.added", function(ev) if ev.group == group then round() end end)
  shoal.on("session.started", round) -- after a failover: what was added meanwhile
end
local err = round()
while args.watch do shoal.sleep("1h") end -- until Ctrl-C or SIGTERM
if err then error(err) end -- its code is the exit code
if args.stay then shoal.sleep(args.stay) end
