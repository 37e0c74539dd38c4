-- shoal.batch: many downloads at once, and groups that are watched. The commands download_batch and watch_group are its
-- functions; shoal.folder builds on run().
--
-- A set of jobs is worked through by a task of its own, so that the caller goes on at once:
--   set:wait([seconds])  the report, or nil, err         set:cancel()  gives up what has not ended
--   set:report()         how it stands                   set.jobs      the jobs begun so far
local fs = require "shoal.fs"

local M = {}
local JOBS, RETRIES, FIRST_PAUSE, LONGEST_PAUSE = 8, 3, 1, 30
local ITEM_OPTIONS = { "order", "limit", "on_exists", "timeout", "wait_for_seeder", "keep_sharing", "verify" }

-- A call whose failure is nil, err also under --strict, where commands raise it.
function M.try(fn, ...)
  local got = table.pack(pcall(fn, ...))
  if got[1] then return table.unpack(got, 2, got.n) end
  if type(got[2]) ~= "table" then error(got[2], 0) end
  return nil, got[2]
end

-- Does one of the patterns (a text or a list) match the text or its last part? Without patterns: `otherwise`.
function M.matches(patterns, text, otherwise)
  if patterns == nil then return otherwise end
  if type(patterns) == "string" then patterns = { patterns } end
  for _, pattern in ipairs(patterns) do
    if fs.match(pattern, text) or fs.match(pattern, text:match("[^/]*$")) then return true end
  end
  return false
end

-- -- sets

local Set = {}
Set.__index = Set

function Set:__tostring()
  local r = self:report()
  return ("%s: %d of %d files, %d failed, %s"):format(self.kind, r.done, r.files, r.failed, r.state)
end

function Set:__close() self:cancel() end

function Set:report()
  local r = { kind = self.kind, state = self.state, files = #self.items, done = 0, skipped = 0, failed = 0, bytes = 0,
    seconds = (self.ended or shoal.mono()) - self.began, items = {} }
  for i, item in ipairs(self.items) do
    if item.state == "done" then r.done = r.done + 1 end
    if item.state == "failed" then r.failed = r.failed + 1 end
    if item.skipped then r.skipped = r.skipped + 1 end
    r.bytes = r.bytes + (item.bytes or 0)
    r.items[i] = { group = item.group, file = item.file, dest = item.dest, state = item.state, path = item.path,
      bytes = item.bytes, tries = item.tries, skipped = item.skipped, error = item.error }
  end
  return r
end

-- The report; nil and an err when something failed, with the first one's code.
function Set:wait(seconds)
  local ok, err = M.try(self.task.wait, self.task, seconds)
  if ok == nil then return nil, err end
  if not self.failure then return self.result or self:report() end
  return shoal.fail(self.failure.code, self.failure.message, self.kind)
end

function Set:cancel()
  if self.ended then return end
  self.cancelled = true
  for _, job in ipairs(self.jobs) do
    if not job.ended then M.try(job.cancel, job, { keep_part = true }) end
  end
end

-- Makes a set whose work is fn(set), in a task; the program does not end before it.
function M.set(kind, items, fn)
  local set = setmetatable({ kind = kind, items = items, jobs = {}, state = "running", began = shoal.mono() }, Set)
  set.task = shoal.work(function()
    local ok, why = pcall(fn, set)
    if not ok then
      set.failure = type(why) == "table" and { code = why.code, message = why.message } or
        { code = "internal", message = tostring(why) }
    end
    set.ended = shoal.mono()
    set.state = set.failure and "failed" or "done"
    return true
  end)
  return set
end

-- -- downloads

local function remember(item, err)
  item.state = "failed"
  item.error = { code = err.code, message = err.message }
end

-- One try; true if it makes sense to try again.
local function fetch(set, item)
  if set.cancelled then
    remember(item, { code = "cancelled", message = "the set was cancelled" })
    return false
  end
  item.tries = item.tries + 1
  item.state = "running"
  local job, err = M.try(download_file, item.group, item.file, item.dest, item.opts)
  local res
  if job then
    set.jobs[#set.jobs + 1] = job
    res, err = M.try(job.wait, job)
  end
  if not res then
    remember(item, err)
    return err.retryable
  end
  item.state, item.path, item.bytes, item.error = "done", res.path, res.bytes, nil
  item.skipped = res.bytes > 0 and res.resumed == res.bytes or nil
  return false
end

local function fetch_with_retries(set, item, opts)
  local pause = FIRST_PAUSE
  for try = 0, opts.retries or RETRIES do
    if try > 0 then
      shoal.sleep(pause)
      pause = math.min(2 * pause, LONGEST_PAUSE)
    end
    if not fetch(set, item) then return end
  end
end

-- Fetches all items of the set, opts.jobs at a time; returns when each has ended.
function M.run(set, opts)
  local next_item, workers = 0, {}
  for i = 1, math.min(opts.jobs or JOBS, #set.items) do
    workers[i] = shoal.work(function()
      while next_item < #set.items do
        next_item = next_item + 1
        fetch_with_retries(set, set.items[next_item], opts)
      end
    end)
  end
  for _, worker in ipairs(workers) do worker:wait() end
end

-- The first failure, and how many there are, as the set's; writes the report.
function M.conclude(set, opts)
  local failed, first = 0, nil
  for _, item in ipairs(set.items) do
    if item.state == "failed" then
      failed = failed + 1
      first = first or item.error
    end
  end
  if first then
    set.failure = { code = first.code, message = ("%d of %d files failed: %s"):format(failed, #set.items, first.message) }
  end
  if not opts.report then return end
  local r = set:report()
  r.state = first and "failed" or "done"
  local f, why = io.open(opts.report, "w")
  if f then f, why = f:write(shoal.json.encode(r), "\n") end
  if f then f, why = f:close() end
  if not f then set.failure = set.failure or { code = "io", message = "cannot write the report: " .. tostring(why) } end
end

-- A download of this set; what it says for itself goes before what is said for all.
function M.item(from, opts)
  local item = { group = from.group, file = from.file, dest = from.dest, state = "queued", tries = 0, opts = {} }
  for _, name in ipairs(ITEM_OPTIONS) do
    item.opts[name] = from[name] == nil and opts[name] or from[name]
  end
  return item
end

function M.download_batch(items, opts)
  opts = opts or {}
  local list = {}
  for i, from in ipairs(items) do
    if type(from.group) ~= "string" or type(from.file) ~= "string" then
      return shoal.fail("usage", ("item %d needs a group and a file"):format(i), "download_batch")
    end
    list[i] = M.item(from, opts)
  end
  return M.set("download_batch", list, function(set)
    M.run(set, opts)
    M.conclude(set, opts)
  end)
end

-- -- watching

local Watch = {}
Watch.__index = Watch

function Watch:__tostring()
  return ("watch of %s: %d fetched, %d failed%s"):format(self.group, self.fetched, self.failed, self.over and ", stopped" or "")
end

function Watch:__close() self:stop() end

function Watch:stop()
  if self.over then return end
  self.over = true
  for _, sub in ipairs(self.subscriptions) do sub:off() end
  shoal.fire("watch.stopped", { group = self.group, watch = self.number })
end

-- Until it is stopped; nil, err (timeout) if that is not within the seconds.
function Watch:wait(seconds)
  if self.over then return true end
  local ev, err = shoal.wait_event("watch.stopped", { watch = self.number }, seconds)
  if not ev then return nil, err end
  return true
end

local function fetch_new(watch, opts)
  local files, err = M.try(list_files, watch.group)
  if not files then
    watch.error = err.message
    return
  end
  for _, f in ipairs(files) do
    if not f.have and not watch.busy[f.name] and M.matches(opts.filter, f.name, true) and not watch.over then
      watch.busy[f.name] = true
      shoal.spawn(function()
        local item = M.item({ group = watch.group, file = f.name, dest = watch.dest }, opts)
        fetch_with_retries({ jobs = {} }, item, opts)
        watch.busy[f.name] = nil
        if item.state == "done" then
          watch.fetched = watch.fetched + 1
        else
          watch.failed = watch.failed + 1
          watch.error = item.error.message
          shoal.log.warn("watch of %s: %s: %s", watch.group, f.name, item.error.message)
        end
      end)
    end
  end
end

local watches = 0

function M.watch_group(group, opts)
  opts = opts or {}
  local ok, err = M.try(list_files, group)
  if not ok then return shoal.fail(err.code, err.message, "watch_group") end
  local dest = opts.dest or "."
  local made, why = M.try(fs.mkdirs, dest)
  if not made then return shoal.fail(why.code, why.message, "watch_group") end
  watches = watches + 1
  local watch = setmetatable({ group = group, dest = dest .. "/", fetched = 0, failed = 0, busy = {}, over = false,
    number = watches }, Watch)
  watch.subscriptions = {
    shoal.on("file.added", function(ev) if ev.group == group then fetch_new(watch, opts) end end),
    shoal.on("session.started", function() fetch_new(watch, opts) end), -- what was added meanwhile
  }
  shoal.spawn(fetch_new, watch, opts)
  return watch
end

return M
