-- Health of a CniIamBinding for Argo CD, by the rules of kstatus: observedGeneration first, then Reconciling, Stalled, Ready.
-- Installed by README.md of this folder. Without it Argo CD takes every binding for healthy at once.
local hs = {status = "Progressing", message = "waits for the operator"}
local status = obj.status

if obj.metadata.deletionTimestamp ~= nil then
  hs.message = "is being undone"
end
if status == nil or status.conditions == nil then
  return hs
end
if status.observedGeneration ~= nil and obj.metadata.generation ~= nil and
   status.observedGeneration ~= obj.metadata.generation then
  hs.message = "the operator has not seen the latest spec yet"
  return hs
end

local condition = {}
for _, c in ipairs(status.conditions) do
  condition[c.type] = c
end
local function says(type)
  local c = condition[type]
  return (c.reason or "") .. ": " .. (c.message or "")
end

if condition.Stalled ~= nil and condition.Stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = says("Stalled")
elseif obj.metadata.deletionTimestamp ~= nil then
  return hs
elseif obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "spec.suspend is true; the guard goes on"
elseif condition.Reconciling ~= nil and condition.Reconciling.status == "True" then
  hs.message = says("Reconciling")
elseif condition.Ready ~= nil and condition.Ready.status == "True" then
  hs.status = "Healthy"
  hs.message = says("Ready")
elseif condition.Ready ~= nil then
  hs.message = says("Ready")
end
return hs
