-- Health of what is measured again and again. A failure that may pass by itself, as a
-- provider that cannot be reached, is waited for: the condition Ready is Unknown then.
local hs = {}
local status = obj.status or {}
if status.errMsg ~= nil and status.errMsg ~= "" then
  hs.status = "Degraded"
  hs.message = "KeptnMetric is degraded: " .. status.errMsg
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == "Ready" and condition.status == "Unknown" then
      hs.status = "Progressing"
      hs.message = "KeptnMetric is progressing: " .. status.errMsg
    end
  end
  return hs
end
if status.value ~= nil and status.value ~= "" then
  hs.status = "Healthy"
  hs.message = "KeptnMetric is healthy"
  return hs
end
hs.status = "Progressing"
hs.message = "KeptnMetric is progressing"
return hs
