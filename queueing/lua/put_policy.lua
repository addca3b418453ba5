-- Tells Redis an event's policy, unless it knows a newer one.
-- KEYS: policy, state. ARGV 1: '1' if it is put only where there is one; 2, 3: its xmax and unfinished, by which PostgreSQL
-- says when it was read (see `selectors.Policy`); then fields and values.
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Two who tell different things may come here in either order. An older policy counts only where none was told lately (then
-- PostgreSQL may have been put back to an earlier state), and is looked up again after a second.
local known, unfinished, fresh = unpack(redis.call('HMGET', KEYS[1], 'xmax', 'unfinished', 'fresh'))
local behind = (tonumber(known) or 0) - tonumber(ARGV[2])
local lasts = 60000000
if behind > 0 or behind == 0 and tonumber(ARGV[3]) > tonumber(unfinished) then
    fresh = tonumber(fresh or 0)
    if now <= fresh and fresh <= now + lasts then return 0 end
    lasts = 1000000
end

-- What has flowed into the bucket so far did so at the old rate: see tokens() in room.lua.
local rate, burst = tonumber(redis.call('HGET', KEYS[1], 'rate')), tonumber(redis.call('HGET', KEYS[1], 'burst'))
local had, at = unpack(redis.call('HMGET', KEYS[2], 'tokens', 'tokens_at'))
if rate and burst and had and at then
    local tokens = math.min(math.max(rate, burst), had + math.max(0, now - at) * rate / 1000000)
    redis.call('HSET', KEYS[2], 'tokens', tokens, 'tokens_at', now)
end
redis.call('HSET', KEYS[1], 'fresh', now + lasts)
return redis.call('HSET', KEYS[1], unpack(ARGV, 4))
