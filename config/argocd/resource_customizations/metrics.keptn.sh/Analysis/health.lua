-- Health of an Analysis. One that did not pass has no status.pass: false is left out.
local hs = {}
local status = obj.status or {}
local said = ""
if status.message ~= nil and status.message ~= "" then
  said = ": " .. status.message
end
if status.pass == true then
  hs.status = "Healthy"
  hs.message = "Analysis is healthy" .. said
  return hs
end
if status.warning == true then
  hs.status = "Healthy"
  hs.message = "Analysis is healthy with warnings" .. said
  return hs
end
if status.state == "Completed" then
  hs.status = "Degraded"
  hs.message = "Analysis is degraded" .. said
  return hs
end
hs.status = "Progressing"
hs.message = "Analysis is progressing" .. said
return hs
