---@meta shoal
-- made by scripts/reference.lua from the table of commands; do not edit
-- For the Lua language server: put its folder into workspace.library.

---@class shoal.stamp
---@field text string
---@field synced integer?

---@class shoal.err
---@field code string
---@field message string
---@field op string
---@field retryable boolean
---@field where string?

---@class shoal.set
---@field jobs shoal.job[]
local set = {}
---@return table?, shoal.err?
function set:wait(seconds) end
function set:cancel() end
---@return table
function set:report() end

---@class shoal.watch
---@field fetched integer
---@field failed integer
local watch = {}
function watch:stop() end
function watch:wait(seconds) end

---@class shoal.job
---@field id integer
---@field kind string
---@field group string
---@field file string
---@field path string
---@field state string
---@field bytes integer
---@field total integer
---@field rate integer
---@field eta integer?
---@field error shoal.err?
local job = {}

---@class shoal
shoal = {}

---Register a new account with the trackers. Example: `create_user alice`
---@param user string
---@param password? string
---@return shoal.stamp?, shoal.err?
function create_user(user, password) end

---Begin a session; what was shared before is shared again. Example: `login alice`
---@param user string
---@param password? string
---@return shoal.stamp?, shoal.err?
function login(user, password) end

---End the session; sharing pauses until the next login. Example: `logout`
---@return shoal.stamp?, shoal.err?
function logout() end

---Who is logged in, on which device and tracker, in which groups. Example: `whoami`
---@return table?, shoal.err?
function whoami() end

---Change the password of the account; other sessions of it end. Example: `change_password`
---@param old? string
---@param new? string
---@return shoal.stamp?, shoal.err?
function change_password(old, new) end

---The devices on which this account is logged in. Example: `list_sessions`
---@return table?, shoal.err?
function list_sessions() end

---Log out one of the account's devices. Example: `end_session(list_sessions()[1].id)`
---@param id string
---@return shoal.stamp?, shoal.err?
function end_session(id) end

---Make a group; you become its owner. Example: `create_group team`
---@param group string
---@return shoal.stamp?, shoal.err?
function create_group(group) end

---Ask to become a member of a group. Example: `join_group team`
---@param group string
---@return shoal.stamp?, shoal.err?
function join_group(group) end

---Leave a group; an owner hands it over, the last member ends it. Example: `leave_group("team", {successor="bob"})`
---@param group string
---@param opts? {successor?: string}
---@return shoal.stamp?, shoal.err?
function leave_group(group, opts) end

---All groups, with your role in them. Example: `list_groups`
---@param filter? string
---@return table?, shoal.err?
function list_groups(filter) end

---Who asks to join a group of yours. Example: `list_requests team`
---@param group string
---@return table?, shoal.err?
function list_requests(group) end

---Let somebody who asked into a group of yours. Example: `accept_request team bob`
---@param group string
---@param user string
---@param role? string
---@return shoal.stamp?, shoal.err?
function accept_request(group, user, role) end

---Turn down somebody who asked to join. Example: `reject_request team bob`
---@param group string
---@param user string
---@param reason? string
---@return shoal.stamp?, shoal.err?
function reject_request(group, user, reason) end

---Who is in a group, and who of them is online. Example: `list_members team`
---@param group string
---@return table?, shoal.err?
function list_members(group) end

---Make a member of a group of yours an admin, who answers requests and removes members, or a member again. Example: `set_role team bob admin`
---@param group string
---@param user string
---@param role string
---@return shoal.stamp?, shoal.err?
function set_role(group, user, role) end

---Take somebody out of a group of yours. Example: `remove_member team bob`
---@param group string
---@param user string
---@return shoal.stamp?, shoal.err?
function remove_member(group, user) end

---Make another member the owner of a group of yours. Example: `transfer_group team bob`
---@param group string
---@param user string
---@return shoal.stamp?, shoal.err?
function transfer_group(group, user) end

---End a group of yours for everybody; nobody's files are deleted. Example: `delete_group("team", {confirm="team"})`
---@param group string
---@param opts? {confirm?: string}
---@return shoal.stamp?, shoal.err?
function delete_group(group, opts) end

---Share a file with a group; it stays where it is. Example: `upload_file document.pdf team`
---@param path string
---@param group string
---@param opts? {name?: string, wait?: boolean}
---@return shoal.job?, shoal.err?
function upload_file(path, group, opts) end

---Fetch a file of a group from everybody who has it; gives a job at once. Example: `download_file team document.pdf ./downloads/`
---@param group string
---@param file string
---@param dest? string
---@param opts? {wait?: boolean, order?: "rarest"|"sequential"|"random", limit?: number|string, on_exists?: "resume"|"skip"|"replace"|"rename"|"fail", timeout?: number|string, wait_for_seeder?: number|string, keep_sharing?: boolean, verify?: "all"|"pieces"}
---@return shoal.job?, shoal.err?
function download_file(group, file, dest, opts) end

---The files of a group that somebody online has; all=true lists the others too. Example: `list_files team`
---@param group string
---@param opts? {all?: boolean, glob?: string, sort?: "name"|"size"|"added"|"seeders"|"peers"}
---@return table?, shoal.err?
function list_files(group, opts) end

---All that is known of one file, with who has it. Example: `file_info team document.pdf`
---@param group string
---@param file string
---@return table?, shoal.err?
function file_info(group, file) end

---Share a file no longer; it leaves the group with its last active seeder. Example: `stop_share team document.pdf`
---@param group string
---@param file string
---@return shoal.stamp?, shoal.err?
function stop_share(group, file) end

---Fetch a list of files, some at a time, with new tries; what is complete is skipped. Example: `download_batch({{group="team", file="document.pdf", dest="dl/"}}, {retries=5}):wait()`
---@param items table[]
---@param opts? {jobs?: integer, retries?: integer, wait_for_seeder?: number|string, limit?: number|string, on_exists?: "resume"|"skip"|"replace"|"rename"|"fail", report?: string}
---@return shoal.set?, shoal.err?
function download_batch(items, opts) end

---Share a folder: each file, and a list of them with modes, links and empty folders. Example: `upload_dir photos team exclude=*.tmp`
---@param path string
---@param group string
---@param opts? {name?: string, include?: string|string[], exclude?: string|string[], wait?: boolean}
---@return shoal.set?, shoal.err?
function upload_dir(path, group, opts) end

---Fetch a shared folder by its name, or all files whose names match a pattern. Example: `download_dir team photos dl/`
---@param group string
---@param pattern string
---@param dest? string
---@param opts? {jobs?: integer, retries?: integer, wait_for_seeder?: number|string, include?: string|string[], exclude?: string|string[], report?: string, wait?: boolean}
---@return shoal.set?, shoal.err?
function download_dir(group, pattern, dest, opts) end

---Fetch what a group has and whatever is added to it, until it is stopped. Example: `watch = watch_group("team", {dest="dl/", filter="*.pdf"})`
---@param group string
---@param opts? {dest?: string, filter?: string|string[], limit?: number|string}
---@return shoal.watch?, shoal.err?
function watch_group(group, opts) end

---Downloads of this client, running and over. Example: `show_downloads`
---@param filter? string|{kind?: "download"|"upload"|"all", group?: string, state?: string}
---@return shoal.job[]?, shoal.err?
function show_downloads(filter) end

---Wait until all jobs have ended; fails if one failed. Example: `wait_all{download_file("team", "a"), download_file("team", "b")}`
---@param jobs shoal.job[]
---@param seconds? number|string
---@return table?, shoal.err?
function wait_all(jobs, seconds) end

---Wait until one of the jobs has ended; gives it and its result (nil if it failed). Example: `job, result = wait_any(shoal.jobs())`
---@param jobs shoal.job[]
---@param seconds? number|string
---@return shoal.job?, shoal.err?
function wait_any(jobs, seconds) end

---All jobs, uploads too. Example: `for _, job in ipairs(shoal.jobs()) do print(job.id, job.state) end`
---@param filter? string|{kind?: "download"|"upload"|"all", group?: string, state?: string}
---@return shoal.job[]?, shoal.err?
function shoal.jobs(filter) end

---The job of that number. Example: `shoal.job(1):pause()`
---@param id shoal.job|integer
---@return shoal.job?, shoal.err?
function shoal.job(id) end

---Wait for its end. Example: `job:wait(60)`
---@param seconds? number|string
---@return table?, shoal.err?
function job:wait(seconds) end

---Pause it. Example: `job:pause()`
---@return boolean?, shoal.err?
function job:pause() end

---Go on with it. Example: `job:resume()`
---@return boolean?, shoal.err?
function job:resume() end

---Give it up; the part file is removed unless it is to be kept. Example: `job:cancel{keep_part=true}`
---@param opts? {keep_part?: boolean}
---@return boolean?, shoal.err?
function job:cancel(opts) end

---Limit its rate; 0 is no limit. Example: `job:limit("5M")`
---@param size number|string
---@return boolean?, shoal.err?
function job:limit(size) end

---Who gives to it, and how fast. Example: `job:peers()`
---@return table?, shoal.err?
function job:peers() end

---Why it is as slow as it is. Example: `print(job:explain())`
---@return string?, shoal.err?
function job:explain() end

---The trackers, and how far each is behind. Example: `trackers()`
---@return table?, shoal.err?
function trackers() end

---Talk to that tracker from now on. Example: `use_tracker(2)`
---@param id integer
---@return shoal.stamp?, shoal.err?
function use_tracker(id) end

---Wait until the other trackers have what a stamp names; true when they have. Example: `wait_synced(create_group("team"), {trackers="all", timeout=5})`
---@param stamp shoal.stamp|string
---@param opts? {trackers?: string|integer, timeout?: number|string}
---@return boolean?, shoal.err?
function wait_synced(stamp, opts) end

---Names that two people claimed at once, and what became of them. Example: `list_conflicts`
---@return table?, shoal.err?
function list_conflicts() end

---Limits of this client in bytes a second; 0 is none. Example: `limits{down="20M"}`
---@param limits? {down?: number|string, up?: number|string}
---@return table?, shoal.err?
function limits(limits) end

shoal.fmt = {}

shoal.json = {}

shoal.log = {}

---Calls fn with each event of that name; "job.*" takes all of a kind. sub:off() ends it.
function shoal.on(event, fn) end

---Waits for an event that has the fields of `match`, or for which the function `match` is true.
function shoal.wait_event(event, match, seconds) end

---Makes an event, to try handlers.
function shoal.fire(event, fields) end

---Runs fn as a task: task:wait([seconds]), task:cancel().
function shoal.spawn(fn, ...) end

---The same; the program waits for it at its end.
function shoal.work(fn, ...) end

---Waits; other tasks, events and transfers go on.
function shoal.sleep(seconds) end

---Calls fn once, later. timer:stop().
function shoal.after(seconds, fn) end

---Calls fn again and again. timer:stop().
function shoal.every(seconds, fn) end

---Fails as commands do.
function shoal.fail(code, message, op) end

---Merges settings, gives the active ones.
function shoal.config(table) end

---Raises a clear message if this shoal is too old.
function shoal.require_api(n) end

---SHA-256 of a file, in hex.
function shoal.hash(path) end

---Paths that match.
function shoal.glob(pattern) end

---Seconds since 1970.
function shoal.now() end

---Seconds of a clock that is never set.
function shoal.mono() end

---The tables that this page is made from.
function shoal.reference() end

---117.7 MiB
function shoal.fmt.bytes(n) end

---4.8 MiB/s
function shoal.fmt.rate(n) end

---1h01
function shoal.fmt.time(seconds) end

---An aligned table.
function shoal.fmt.table(rows) end

---JSON.
function shoal.json.encode(value) end

---A value, or nil, err.
function shoal.json.decode(text) end

---A line in the log.
function shoal.log.debug(fmt, ...) end

---A line in the log.
function shoal.log.info(fmt, ...) end

---A line in the log.
function shoal.log.warn(fmt, ...) end

---A line in the log.
function shoal.log.error(fmt, ...) end
