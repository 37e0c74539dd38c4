-- alone: it measures times.
-- From how long the answer takes nobody learns whether a user exists: 300 logins of either kind, medians within 5 %.
local T = require "shoal.test"
local proc = require "shoal.proc"

T.case("an unknown user takes as long as a wrong password", function(t)
  local c = t.cluster{ trackers = 1, peers = {} }
  local p = assert(proc.spawn({ shoal.build_folder .. "/tests/adversary/adversary", "timing", "tracker=" .. c.trackers[1].addr,
    "n=300" }, { capture = true }))
  local code = assert(p:wait(120), "it did not end")
  print((p:output():match("# timing[^\n]*")))
  if code ~= 0 then error(p:output():match("not ok[^\n]*") or p:output()) end
end)
