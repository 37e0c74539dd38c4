-- kill -9 of the leecher at random moments: the next start completes, the file is identical, and no piece that the
-- journal vouches for is fetched again. RESUME_ROUNDS=50 for more moments, RESUME_SEED=n for the same ones again.
local T = require "shoal.test"
local PIECE, SIZE = 512 * 1024, 160 * 1024 * 1024 + 17
local PIECES = SIZE // PIECE + 1

local function exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

local function count_bits(bits)
  local n = 0
  for i = 1, #bits do
    local byte = bits:byte(i)
    while byte ~= 0 do
      n = n + 1
      byte = byte & (byte - 1)
    end
  end
  return n
end

-- Bytes that a bitfield of pieces stands for: the last one is shorter.
local function bytes_of(bits)
  local last = bits:byte(-1) >> (7 - (PIECES - 1) % 8) & 1
  return count_bits(bits) * PIECE - last * (PIECES * PIECE - SIZE)
end

-- What the newer of the two entries vouches for, read here by hand (core/piece/storage_journal.c): bytes.
local function vouched(path, scratch)
  local f = io.open(path, "rb")
  if not f then return 0 end
  local all, length = f:read("a"), 96 + (PIECES + 7) // 8
  f:close()
  local room, seq, bytes = (length + 32 + 4095) // 4096 * 4096, -1, 0
  for at = 1, room + 1, room do
    local entry, sum = all:sub(at, at + length - 1), all:sub(at + length, at + length + 31)
    if #sum == 32 and entry:sub(1, 8) == "SHOALPS1" then
      f = assert(io.open(scratch, "wb"))
      f:write(entry)
      f:close()
      local hex = sum:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
      local mine = string.unpack(">I8", entry, 9)
      if shoal.hash(scratch) == hex and mine > seq then
        seq, bytes = mine, bytes_of(entry:sub(97))
      end
    end
  end
  return bytes
end

T.case("killed at any moment, it goes on where the journal says", function(t)
  local rounds, seed = tonumber(os.getenv("RESUME_ROUNDS") or 10), tonumber(os.getenv("RESUME_SEED") or os.time())
  print(("# %d moments, seed %d"):format(rounds, seed))
  math.randomseed(seed)
  local c = t.cluster{ trackers = 1, plaintext = true, peers = { "alice", "bob" } }
  t.ok(c.alice:create_group("g"))
  t.ok(c.bob:join_group("g"))
  t.ok(c.alice:accept_request("g", "bob"))
  local path = c:file("film", SIZE)
  t.ok(c.alice:upload_file(path, "g"):wait(60))
  local hash, dest = shoal.hash(path), c.bob.dir .. "/film"
  local scratch, half, complete, nothing = c.dir .. "/entry", 0, 0, 0
  local opts = { limit = 400 * 1024 * 1024, keep_sharing = false }

  for round = 1, rounds do
    c.bob:download_file("g", "film", dest, opts)
    shoal.sleep(math.random() * 0.6) -- any moment: that is what is tested
    c.bob:kill()
    local kept = exists(dest) and SIZE or vouched(dest .. ".part.state", scratch)
    half = half + (kept > 0 and kept < SIZE and 1 or 0)
    complete = complete + (kept == SIZE and 1 or 0)
    nothing = nothing + (kept == 0 and 1 or 0)
    c.bob:start()
    local job = c.bob:download_file("g", "film", dest, { keep_sharing = false })
    local res = t.ok(job:wait(60))
    t.eq(shoal.hash(res.path), hash, "round " .. round)
    t.eq(res.resumed, kept, "round " .. round .. ": bytes that are not fetched again")
    t.eq(res.twice, 0, "round " .. round)
    t.eq(res.bad_pieces, 0, "round " .. round)
    t.eq(exists(dest .. ".part") or exists(dest .. ".part.state"), false)
    t.ok(os.remove(dest))
  end
  print(("# killed with a part of it %d times, complete %d, nothing yet %d"):format(half, complete, nothing))
  if rounds >= 10 and half == 0 then error("never killed in the middle: this proves nothing") end
end)
