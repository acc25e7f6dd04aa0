-- PUT: lease renewals as kubelets send them, with the resourceVersion of the last answer. A lease
-- has one renewal under way at most. One thread only (-t1). Options: path (of the collection, with
-- a slash), leases (a file of lines "name revision"), body (a file with @NAME@, @REVISION@, @TIME@
-- in it, in this order).

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local path, before_name, before_revision, before_time, tail
local free, revisions = {}, {}
local first, last = 1, 0
local counter = 0

local function give_back(name)
   last = last + 1
   free[last] = name
end

function init(args)
   local given = options(args)
   path = given.path
   local rest
   before_name, rest = split(read_file(given.body), "@NAME@")
   before_revision, rest = split(rest, "@REVISION@")
   before_time, tail = split(rest, "@TIME@")
   for name, revision in read_file(given.leases):gmatch("(%S+) (%S+)") do
      revisions[name] = revision
      give_back(name)
   end
   wrk.method = "PUT"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   counter = counter + 1
   assert(first <= last, "every lease has a renewal under way; give more leases")
   local name = free[first]
   free[first] = nil
   first = first + 1
   local time = os.date("!%Y-%m-%dT%H:%M:%S") .. string.format(".%06dZ", counter % 1000000)
   local body = before_name .. name .. before_revision .. revisions[name] .. before_time .. time .. tail
   return wrk.format(nil, path .. name, nil, body)
end

function response(status, headers, body)
   local name = body:match('"name":"([^"]+)"')
   if not name then return end
   if status == 200 then
      revisions[name] = body:match('"resourceVersion":"(%d+)"')
   end
   give_back(name)
end
