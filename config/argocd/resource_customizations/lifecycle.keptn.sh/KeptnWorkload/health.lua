-- Health of what has a version: deliveries have a health of their own.
local hs = {}
if obj.status ~= nil and obj.status.currentVersion == obj.spec.version then
  hs.status = "Healthy"
  hs.message = obj.kind .. " is delivered at version " .. obj.spec.version
  return hs
end
hs.status = "Progressing"
hs.message = "Version " .. obj.spec.version .. " of " .. obj.kind .. " was not taken up yet"
return hs
