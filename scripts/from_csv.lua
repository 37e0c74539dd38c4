-- Downloads what a CSV file lists: a line of names first (group,file and perhaps dest), then a file a line.
--
--   shoal [--password-file F] IP:PORT TRACKER_FILE scripts/from_csv.lua LIST.csv [--user NAME] [--report FILE] [--jobs N]
--
-- Run it again at any time: what is complete is not fetched twice. The exit code is that of the first failure.
shoal.require_api(1)

local args = shoal.args
if not args[1] then
  io.stderr:write("usage: from_csv.lua LIST.csv [--user NAME] [--report FILE] [--jobs N]\n")
  os.exit(2)
end

-- The fields of a line; a field in quotes may hold commas, and "" stands for a quote.
local function fields(line)
  local out, at = {}, 1
  while at <= #line + 1 do
    local text, to
    if line:sub(at, at) == '"' then
      local close = at + 1
      while line:sub(close, close) ~= "" and (line:sub(close, close) ~= '"' or line:sub(close + 1, close + 1) == '"') do
        close = close + (line:sub(close, close + 1) == '""' and 2 or 1)
      end
      text, to = (line:sub(at + 1, close - 1):gsub('""', '"')), close + 1
    else
      text, to = line:match("^([^,]*)()", at)
    end
    out[#out + 1] = text
    at = to + 1
  end
  return out
end

local items, names = {}, nil
for line in io.lines(args[1]) do
  line = line:gsub("\r$", "")
  if not names then
    names = fields(line)
  elseif line ~= "" then
    local item = {}
    for i, value in ipairs(fields(line)) do
      if value ~= "" and names[i] then item[names[i]] = value end
    end
    items[#items + 1] = item
  end
end

if args.user then assert(login(args.user)) end
local report = assert(assert(download_batch(items, { jobs = tonumber(args.jobs), report = args.report })):wait())
print(("%d files, %d of them were here already, %s"):format(report.done, report.skipped, shoal.fmt.bytes(report.bytes)))
