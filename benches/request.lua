-- Sends the requests whose bodies stand in a file, one a line, in turn.
--   wrk … -s request.lua URL -- BODIES CHECK HEADER…
-- HEADER is `Name: value`. With `check` as CHECK (else `-`) each answer is looked at, which costs wrk time: for warming up only.

local bodies, place = {}, 0
local threads = {}
bad, sample = 0, ""

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = line
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i = 3, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  if args[2] == "check" then
    response = function(status, _, body)
      if status ~= 200 or body:sub(1, 9) ~= '{"data":{' or body:find('"errors":', 1, true) then
        bad, sample = bad + 1, body:sub(1, 300)
      end
    end
  end
end

function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end

function done(summary, latency)
  local wrong, text = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("bad")
    text = thread:get("sample")
  end
  local errors = summary.errors
  io.write(string.format("\nresult %d %d %d %d %d\nsample %s\n", summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status, wrong, text))
end
