-- There is nothing to wait for: what uses it says what is wrong with it.
local hs = {}
hs.status = "Healthy"
hs.message = obj.kind .. " is in use as it is"
return hs
