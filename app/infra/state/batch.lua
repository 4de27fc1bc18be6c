#!lua
-- A batch of state operations (app/infra/state/wire.py writes it): KEYS[i] is the key of operation i, ARGV its letter
-- and arguments, one operation after the other. Answers {index of the refused operation or -1, milliseconds until its
-- counter is forgotten, results...}. A script without `no-writes` is refused by a replica, reads included: that is
-- wanted, because a replica may be stale.
local call = redis.call
local results = {-1, 0}
local at = 1
for i = 1, #KEYS do
  local key, letter = KEYS[i], ARGV[at]
  local refused, result, wait = false, false, 0
  if letter == 'i' then -- Increment: amount, window, limit or ''
    local amount, limit, count = tonumber(ARGV[at + 1]), ARGV[at + 3], nil
    if amount == 0 then
      count = tonumber(call('GET', key) or 0)
    else
      count = call('INCRBY', key, ARGV[at + 1])
      if count == amount then call('EXPIRE', key, ARGV[at + 2], 'NX') end
    end
    result = count
    if limit ~= '' and count > tonumber(limit) then
      refused, wait = true, call('PTTL', key)
    end
    at = at + 4
  elseif letter == 'g' then -- Get: required
    result = call('GET', key)
    refused = ARGV[at + 1] == '1' and not result
    at = at + 2
  elseif letter == 'p' then -- Put: value, ttl
    call('SET', key, ARGV[at + 1], 'EX', ARGV[at + 2])
    result = 1
    at = at + 3
  elseif letter == 'n' then -- PutIfAbsent: value, ttl, required
    result = call('SET', key, ARGV[at + 1], 'EX', ARGV[at + 2], 'NX') and 1 or 0
    refused = ARGV[at + 3] == '1' and result == 0
    at = at + 4
  elseif letter == 'a' then -- Append: entry
    result = call('XADD', key, '*', 'e', ARGV[at + 1])
    at = at + 2
  elseif letter == 't' then -- TakeOnce: required
    result = call('GETDEL', key)
    refused = ARGV[at + 1] == '1' and not result
    at = at + 2
  elseif letter == 'c' then -- Replace: expected, value, ttl
    result = 0
    if call('GET', key) == ARGV[at + 1] then
      call('SET', key, ARGV[at + 2], 'EX', ARGV[at + 3])
      result = 1
    end
    at = at + 4
  elseif letter == 'd' then -- Delete
    result = call('DEL', key)
    at = at + 1
  elseif letter == 'r' then -- Raise: number, ttl
    local number = tonumber(ARGV[at + 1])
    local old = tonumber(call('GET', key) or nil)
    if not old then
      call('SET', key, ARGV[at + 1], 'EX', ARGV[at + 2])
      old = number
    else
      if old < number then
        call('SET', key, ARGV[at + 1], 'KEEPTTL')
        old = number
      end
      call('EXPIRE', key, ARGV[at + 2], 'GT')
    end
    result = old
    at = at + 3
  elseif letter == 's' then -- SetAdd: member, ttl
    call('SADD', key, ARGV[at + 1])
    call('EXPIRE', key, ARGV[at + 2])
    result = 1
    at = at + 3
  elseif letter == 'x' then -- SetRemove: member
    result = call('SREM', key, ARGV[at + 1])
    at = at + 2
  else -- 'm', SetMembers
    result = call('SMEMBERS', key)
    at = at + 1
  end
  if refused then
    results[1], results[2] = i - 1, wait
    return results
  end
  results[i + 2] = result
end
return results
