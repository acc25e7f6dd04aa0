-- Shared by every load script, and the whole script of plain GETs: options, thread numbers, and
-- one line of JSON at the end, which tests/bench/wrk.py reads.

local threads = 0

function setup(thread)
   thread:set("thread_id", threads)
   threads = threads + 1
end

-- Options come after `--` on wrk's command line, as key=value.
function options(args)
   local found = {}
   for _, item in ipairs(args) do
      local key, value = item:match("^([^=]+)=(.*)$")
      if key then found[key] = value end
   end
   return found
end

function read_file(path)
   local file = assert(io.open(path, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

-- Text before and after a marker, so that a request is made by joining, not by searching.
function split(text, marker)
   local first, last = text:find(marker, 1, true)
   assert(first, "no " .. marker .. " in the body")
   return text:sub(1, first - 1), text:sub(last + 1)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\nRESULT {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%.1f,"p99_us":%.1f,' ..
      '"max_us":%.1f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50),
      latency:percentile(99), latency.max, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
