-- shoal.folder: upload_dir and download_dir. A shared folder is a file that lists what is in it, and those files.
--
-- A file of a group has no slashes in its name, so "a/b.txt" of the folder "photos" is shared as
-- "photos%2Fa%2Fb.txt@SIZE-TIME": one that has changed gets another name and stands beside the old one. The list is
-- "photos@TIME-DIGEST.folder", JSON: {shoal = "folder", version = 1, name, entries = {{path, kind = "file" | "dir" | "link",
-- mode, file, size, hash, target}}}. Paths are written with %XX where they are no UTF-8 or hold a "%".
local batch = require "shoal.batch"
local fs = require "shoal.fs"

local M = {}
local NAME_MAX, LIST_MAX = 200, 64 * 1024 * 1024

-- -- names

local function escape(text, set)
  if not utf8.len(text) then set = set .. "\x80-\xff" end
  return (text:gsub("[" .. set .. "]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- 64 bits that stand for a text (FNV-1a): names need to differ, nothing relies on their being hard to guess.
local function digest(text)
  local h = -3750763034362895579
  for i = 1, #text do h = (h ~ text:byte(i)) * 1099511628211 end
  return ("%016x"):format(h)
end

local function shared_name(folder, entry)
  local name = escape(folder .. "/" .. entry.path, "%c%%/\x7f")
  if #name > NAME_MAX then name = name:sub(1, NAME_MAX - 20):gsub("[\x80-\xff]*$", "") .. "~" .. digest(name) .. "-" end
  return ("%s@%x-%x"):format(name, entry.size, entry.mtime_ns // 1000)
end

-- Does the link lead to something in the same folder?
local function stays_inside(path, target)
  if target:sub(1, 1) == "/" then return false end
  local depth = select(2, path:gsub("/", ""))
  for part in target:gmatch("[^/]+") do
    depth = depth + (part == ".." and -1 or part == "." and 0 or 1)
    if depth < 0 then return false end
  end
  return true
end

-- -- sharing

-- What of the folder is wanted, with the files' names in the group. Folders that are excluded are so with all they hold.
local function wanted(entries, folder, opts)
  local list, skipped, without = {}, {}, nil
  for _, e in ipairs(entries) do
    local inside = without and e.path:sub(1, #without) == without
    if inside or batch.matches(opts.exclude, e.path, false) then
      if e.kind == "dir" and not inside then without = e.path .. "/" end
    elseif e.kind == "file" then
      if batch.matches(opts.include, e.path, true) then
        e.file = shared_name(folder, e)
        list[#list + 1] = e
      end
    elseif e.kind == "dir" or (e.kind == "link" and stays_inside(e.path, e.target)) then
      list[#list + 1] = e
    else
      skipped[#skipped + 1] = e.path
    end
  end
  return list, skipped
end

local function share_files(set, root, group, entries)
  for _, e in ipairs(entries) do
    if e.kind == "file" then
      local item = { group = group, file = e.file, path = root .. "/" .. e.path, state = "running", tries = 1 }
      set.items[#set.items + 1] = item
      local job, err = batch.try(upload_file, item.path, group, { name = e.file })
      if job then set.jobs[#set.jobs + 1] = job else item.state, item.error = "failed", { code = err.code, message = err.message } end
      item.job = job
    end
  end
  for _, item in ipairs(set.items) do
    local res, err
    if item.job then res, err = batch.try(item.job.wait, item.job) end
    if res then
      item.state, item.bytes = "done", res.bytes
    elseif item.job then
      item.state, item.error = "failed", { code = err.code, message = err.message }
    end
    item.job = nil
  end
end

local function list_text(name, entries, hashes)
  local out = {}
  for i, e in ipairs(entries) do
    out[i] = { path = escape(e.path, "%c%%\x7f"), kind = e.kind, mode = e.mode, file = e.file,
      size = e.kind == "file" and e.size or nil, hash = e.file and hashes[e.file] or nil,
      target = e.target and escape(e.target, "%c%%\x7f") }
  end
  return shoal.json.encode { shoal = "folder", version = 1, name = name, entries = out }
end

-- The newest list of that folder, or nil. Its name is BEGIN@TIME-DIGEST.folder.
local function find_list(files, folder)
  local begin, newest, age = escape(folder, "%c%%/\x7f") .. "@", nil, nil
  for _, f in ipairs(files) do
    local time = f.name:sub(1, #begin) == begin and f.name:sub(#begin + 1):match("^(%x+)-%x+%.folder$")
    time = time and tonumber(time, 16)
    if time and (not newest or f.added > newest.added or (f.added == newest.added and time > age)) then
      newest, age = f, time
    end
  end
  return newest
end

local function share_list(set, name, group, entries, skipped)
  local hashes, files = {}, assert(batch.try(list_files, group, { all = true }))
  for _, f in ipairs(files) do hashes[f.name] = f.hash end
  local text = list_text(name, entries, hashes)
  local newest, id = find_list(files, name), digest(text)
  local shared = ("%s@%x-%s.folder"):format(escape(name, "%c%%/\x7f"), shoal.now() * 1000 // 1 | 0, id)
  if newest and newest.name:match("-(%x+)%.folder$") == id then shared = newest.name end -- unchanged: one more seeder
  local path = assert(batch.try(fs.keep, digest(group .. "/" .. shared) .. ".folder", text))
  local job = assert(batch.try(upload_file, path, group, { name = shared }))
  assert(batch.try(job.wait, job))
  set.result = set:report()
  set.result.state, set.result.name, set.result.list, set.result.left_out = "done", name, shared, skipped
end

local function finish(set, opts)
  if not opts.wait then return set end
  return set:wait()
end

function M.upload_dir(path, group, opts)
  opts = opts or {}
  local root, err = batch.try(fs.absolute, path)
  if not root then return shoal.fail(err.code, err.message, "upload_dir") end
  local entries, why = batch.try(fs.scan, root)
  if not entries then return shoal.fail(why.code, why.message, "upload_dir") end
  local name = opts.name or root:match("[^/]*$")
  if name == "" or name:find("/", 1, true) or #name > 100 then
    return shoal.fail("usage", "the folder needs a name without slashes, at most 100 bytes: name=...", "upload_dir")
  end
  local list, skipped = wanted(entries, name, opts)
  return finish(batch.set("upload_dir", {}, function(set)
    share_files(set, root, group, list)
    batch.conclude(set, {})
    if not set.failure then share_list(set, name, group, list, skipped) end
  end), opts)
end

-- -- fetching

local function is_path(path)
  if type(path) ~= "string" or path == "" or #path > 4096 then return false end
  for part in (path .. "/"):gmatch("([^/]*)/") do
    if part == "" or part == "." or part == ".." or #part > 255 or part:find("\0", 1, true) then return false end
  end
  return true
end

-- The list as it was fetched, checked: it comes from another member.
local function read_list(path)
  local f <close> = assert(io.open(path, "rb"))
  local text = f:read(LIST_MAX + 1) or ""
  local list = #text <= LIST_MAX and shoal.json.decode(text) or nil
  if type(list) ~= "table" or list.shoal ~= "folder" or type(list.entries) ~= "table" or list.version ~= 1 then
    return shoal.fail("integrity", ("'%s' is no list of a folder that this shoal can read"):format(path:match("[^/]*$")), "download_dir")
  end
  for i, e in ipairs(list.entries) do
    local ok = type(e) == "table" and type(e.path) == "string"
    if ok then
      e.path = unescape(e.path)
      e.mode = math.type(e.mode) == "integer" and e.mode & 511 or nil
      e.target = type(e.target) == "string" and unescape(e.target) or nil
      ok = is_path(e.path) and (e.kind == "dir" or (e.kind == "link" and e.target) or
        (e.kind == "file" and type(e.file) == "string"))
    end
    if not ok then
      return shoal.fail("integrity", ("entry %d of the list of folder is not right: it is not fetched"):format(i), "download_dir")
    end
  end
  return list
end

-- Folders first, then the files, links last: nothing is ever written through a link.
local function fetch_listed(set, group, entries, root, files, opts)
  local hashes = {}
  for _, f in ipairs(files) do hashes[f.name] = f.hash end
  for _, e in ipairs(entries) do
    if e.kind == "dir" then
      assert(batch.try(fs.folder, root, e.path))
    elseif e.kind == "file" and batch.matches(opts.include, e.path, true) and not batch.matches(opts.exclude, e.path, false) then
      assert(batch.try(fs.parents, root, e.path))
      local item = batch.item({ group = group, file = e.file, dest = root .. "/" .. e.path }, opts)
      set.items[#set.items + 1] = item
      if e.hash and hashes[e.file] and hashes[e.file] ~= e.hash then
        assert(shoal.fail("integrity", ("'%s' is not what the list of the folder says"):format(e.file), "download_dir"))
      end
    end
  end
  batch.run(set, opts)
  local left_out = {}
  for _, e in ipairs(entries) do
    if e.kind == "link" and stays_inside(e.path, e.target) then
      assert(batch.try(fs.link, root, e.path, e.target))
    elseif e.kind == "link" then
      left_out[#left_out + 1] = e.path
    end
  end
  return left_out
end

-- Deepest first, so that a folder that becomes read-only has all that belongs into it.
local function set_modes(set, entries, root)
  local here = {}
  for _, item in ipairs(set.items) do here[item.dest] = item.state == "done" end
  for i = #entries, 1, -1 do
    local e = entries[i]
    if e.mode and (e.kind == "dir" or (e.kind == "file" and here[root .. "/" .. e.path])) then
      assert(batch.try(fs.chmod, root, e.path, e.mode))
    end
  end
end

local function fetch_folder(set, group, row, files, dest, opts)
  local kept = assert(batch.try(fs.keep, digest(group .. "/" .. row.name) .. ".folder", ""))
  local job = assert(batch.try(download_file, group, row.name, kept, { on_exists = "replace", wait_for_seeder = opts.wait_for_seeder }))
  assert(batch.try(job.wait, job))
  local list = assert(batch.try(read_list, kept))
  local name = unescape(row.name:match("^(.*)@%x+-%x+%.folder$"))
  if not is_path(name) or name:find("/", 1, true) then error(select(2, shoal.fail("integrity", "the folder's name is no name"))) end
  local root = dest .. "/" .. name
  assert(batch.try(fs.mkdirs, root))
  local left_out = fetch_listed(set, group, list.entries, root, files, opts)
  set_modes(set, list.entries, root)
  batch.conclude(set, opts)
  set.result = set:report()
  set.result.state, set.result.path, set.result.left_out = "done", root, left_out
end

function M.download_dir(group, pattern, dest, opts)
  opts, dest = opts or {}, dest and dest:gsub("(.)/+$", "%1") or "."
  local files, err = batch.try(list_files, group, { all = true })
  if not files then return shoal.fail(err.code, err.message, "download_dir") end
  local row = find_list(files, pattern)
  if row then
    return finish(batch.set("download_dir", {}, function(set) fetch_folder(set, group, row, files, dest, opts) end), opts)
  end
  local items = {}
  for _, f in ipairs(files) do
    if fs.match(pattern, f.name) and not f.name:find("@%x+-%x+%.folder$") and batch.matches(opts.include, f.name, true) and
      not batch.matches(opts.exclude, f.name, false) then
      items[#items + 1] = batch.item({ group = group, file = f.name, dest = dest .. "/" }, opts)
    end
  end
  if #items == 0 then
    return shoal.fail("not_found", ("group '%s' has no folder '%s', nor files of such names"):format(group, pattern), "download_dir")
  end
  return finish(batch.set("download_dir", items, function(set)
    batch.run(set, opts)
    batch.conclude(set, opts)
  end), opts)
end

return M
