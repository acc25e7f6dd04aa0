-- POST: a new object each time. Options: body (a file with @NAME@ in it), prefix (of names), type
-- (of the body). Names are of one length: in CBOR it stands before them.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

local head, tail, prefix
local counter = 0

function init(args)
   local given = options(args)
   head, tail = split(read_file(given.body), "@NAME@")
   prefix = given.prefix .. "-" .. thread_id .. "-"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = given.type or "application/json"
end

function request()
   counter = counter + 1
   return wrk.format(nil, nil, nil, head .. prefix .. string.format("%08d", counter) .. tail)
end
