-- Tells Redis an event's policy.
-- KEYS: policy, state. ARGV: '1' if it is put only where there is one, then fields and values.
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- What has flowed into the bucket so far did so at the old rate: see tokens() in room.lua.
local rate, burst = tonumber(redis.call('HGET', KEYS[1], 'rate')), tonumber(redis.call('HGET', KEYS[1], 'burst'))
local had, at = unpack(redis.call('HMGET', KEYS[2], 'tokens', 'tokens_at'))
if rate and burst and had and at then
    local tokens = math.min(math.max(rate, burst), had + math.max(0, now - at) * rate / 1000000)
    redis.call('HSET', KEYS[2], 'tokens', tokens, 'tokens_at', now)
end
redis.call('HSET', KEYS[1], 'fresh', now + 60000000)
return redis.call('HSET', KEYS[1], unpack(ARGV, 2))
