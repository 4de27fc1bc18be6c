#!lua
-- Entries of the stream KEYS[1] for one consumer: first those nobody acknowledged in time, then new ones.
-- ARGV: group, consumer, lease in milliseconds, how many.
local name, group, consumer, lease, count = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('EXISTS', name) == 0 then return {} end
local claimed = redis.pcall('XAUTOCLAIM', name, group, consumer, lease, '0-0', 'COUNT', count)
if claimed.err then -- no such group yet
  redis.call('XGROUP', 'CREATE', name, group, '0')
  claimed = {'0-0', {}}
end
local entries = claimed[2]
if #entries < count then
  local fresh = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #entries, 'STREAMS', name, '>')
  if fresh then
    for _, entry in ipairs(fresh[1][2]) do entries[#entries + 1] = entry end
  end
end
return entries
