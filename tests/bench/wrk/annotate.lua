-- PATCH: a small merge patch of an object's annotations, over a pool of objects, so that few meet.
-- Options: prefix (of the objects' path and name; a number from 0 is added), pool (their number).

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local prefix, pool
local counter = 0

function init(args)
   local given = options(args)
   prefix, pool = given.prefix, tonumber(given.pool)
   wrk.method = "PATCH"
   wrk.headers["Content-Type"] = "application/merge-patch+json"
end

function request()
   counter = counter + 1
   local value = thread_id .. "-" .. counter
   local body = '{"metadata":{"annotations":{"counter":"' .. value .. '"}}}'
   return wrk.format(nil, prefix .. (counter % pool), nil, body)
end
