-- POST: a new object each time. Options: body (a file with @NAME@ in it), prefix (of names).

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local head, tail, prefix
local counter = 0

function init(args)
   local given = options(args)
   head, tail = split(read_file(given.body), "@NAME@")
   prefix = given.prefix .. "-" .. thread_id .. "-"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   counter = counter + 1
   return wrk.format(nil, nil, nil, head .. prefix .. counter .. tail)
end
