-- Sets an event's policy, unless Redis knows a newer one.
-- KEYS: policy_key, state_key
-- ARGV: only_if_known     '1' to replace a policy, but not to set the first one; '' otherwise
--       xmax, unfinished  when PostgreSQL has read it, see selectors.Policy
--       fields            list of names and values, in turn
-- Result: is_set  1 if it was set
if only_if_known == '1' and redis.call('EXISTS', policy_key) == 0 then return result({is_set = 0}) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Two versions may arrive in either order. An older one counts only if none was set lately (then PostgreSQL may have been
-- restored to an earlier state), and is looked up again after a second.
local known_xmax, known_unfinished, fresh_until =
    unpack(redis.call('HMGET', policy_key, 'xmax', 'unfinished', 'fresh_until'))
local behind = (tonumber(known_xmax) or 0) - tonumber(xmax)
local fresh_us = 60000000
if behind > 0 or behind == 0 and tonumber(unfinished) > tonumber(known_unfinished) then
    fresh_until = tonumber(fresh_until or 0)
    if now <= fresh_until and fresh_until <= now + fresh_us then return result({is_set = 0}) end
    fresh_us = 1000000
end

-- What has flowed into the token bucket so far did so at the old rate: see available_tokens() in prelude.lua.
local rate, burst = tonumber(redis.call('HGET', policy_key, 'rate')), tonumber(redis.call('HGET', policy_key, 'burst'))
local stored, at = unpack(redis.call('HMGET', state_key, 'tokens', 'tokens_at'))
if rate and burst and stored and at then
    local tokens = math.min(math.max(rate, burst), stored + math.max(0, now - at) * rate / 1000000)
    redis.call('HSET', state_key, 'tokens', tokens, 'tokens_at', now)
end
redis.call('HSET', policy_key, 'fresh_until', now + fresh_us, unpack(fields))
return result({is_set = 1})
