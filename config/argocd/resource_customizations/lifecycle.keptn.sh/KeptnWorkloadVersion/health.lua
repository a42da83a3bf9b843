-- Health of what runs once. What was superseded, and therefore is Deprecated, did not
-- fail; what ended without a result, and therefore is Unknown, did not pass.
local states = {
  Succeeded = "Healthy",
  Warning = "Healthy",
  Deprecated = "Healthy",
  Failed = "Degraded",
  Unknown = "Degraded",
}
local words = {
  Succeeded = "healthy",
  Warning = "healthy with warnings",
  Deprecated = "superseded",
  Failed = "degraded",
  Unknown = "inconclusive",
}
local hs = {}
local status = obj.status or {}
local state = status.status or "Pending"
hs.status = states[state] or "Progressing"
hs.message = obj.kind .. " is " .. (words[state] or "progressing")
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.message ~= nil and condition.message ~= "" then
    hs.message = hs.message .. ": " .. condition.message
  end
end
return hs
