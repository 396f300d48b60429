-- The script of wrk. Arguments: operation; file of users (a line "user_id first_task_id token"
-- for each); how many tasks each user has; the distance between the ids of two tasks of one user;
-- "statuses" to count responses by status (which costs wrk some CPU time).

local users, tasks, stride, operation = {}, 0, 0, ""
local created = '{"title": "Water the plants", "description": "The ones on the balcony, too."}'
local updated = '{"title": "Water all the plants", "completed": true}'
local threads = {}

local function random_user()
  return users[math.random(#users)]
end

local function path_of_task(user)
  return user.path .. "/" .. (user.first + stride * math.random(0, tasks - 1))
end

local operations = {
  list = function()
    return random_user().list
  end,
  search = function()
    local user = random_user()
    local query = "?limit=100&q=TASK%20" .. math.random(tasks) .. "%20of"
    return wrk.format("GET", user.path .. query, user.headers)
  end,
  stats = function()
    return random_user().stats
  end,
  page_of_1000 = function()
    return random_user().page_of_1000
  end,
  get = function()
    local user = random_user()
    return wrk.format("GET", path_of_task(user), user.headers)
  end,
  create = function()
    return random_user().create
  end,
  update = function()
    local user = random_user()
    return wrk.format("PUT", path_of_task(user), user.json, updated)
  end,
  toggle = function()
    local user = random_user()
    return wrk.format("PATCH", path_of_task(user) .. "/complete", user.headers)
  end,
}

function operations.mix()
  local dice = math.random(100)
  local name = dice <= 60 and "list" or dice <= 80 and "get" or dice <= 90 and "create"
    or dice <= 95 and "update" or "toggle"
  return operations[name]()
end

local function add_user(id, first, token)
  local user = { path = "/api/" .. id .. "/tasks", first = tonumber(first) }
  user.headers = { Host = "127.0.0.1", Authorization = "Bearer " .. token }
  user.json = { ["Content-Type"] = "application/json" }
  for name, value in pairs(user.headers) do
    user.json[name] = value
  end
  user.list = wrk.format("GET", user.path .. "?limit=100", user.headers)
  user.page_of_1000 = wrk.format("GET", user.path .. "?limit=1000", user.headers)
  user.stats = wrk.format("GET", user.path .. "/stats", user.headers)
  user.create = wrk.format("POST", user.path, user.json, created)
  users[#users + 1] = user
end

local function count_status(status)
  statuses[tostring(status)] = (statuses[tostring(status)] or 0) + 1
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  operation, tasks, stride = args[1], tonumber(args[3]), tonumber(args[4])
  for line in io.lines(args[2]) do
    add_user(line:match("(%S+) (%S+) (%S+)"))
  end
  math.randomseed(os.time())
  statuses = {}
  if args[5] == "statuses" then
    response = count_status
  end
end

function request()
  return operations[operation]()
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      counts[#counts + 1] = string.format('"%s": %d', status, count)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %f, "p95": %f, "p99": %f, "not_2xx": %d, '
      .. '"socket_errors": %d, "timeouts": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, table.concat(counts, ", ")
  ))
end
