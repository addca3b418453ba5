-- Tells what has changed in stock, and forgets what was cached.
-- KEYS: the cached answer, its lease, the set of touched events, the event's funnel, the set of events that have one, then
--       what was told last of each changed ticket type
-- ARGV: the event's id, its channel, how many have newly reserved, the funnel's life in s, then number and message of each
--       change
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SADD', KEYS[3], ARGV[1])
if ARGV[3] ~= '0' then
    redis.call('HINCRBY', KEYS[4], 'reserved', ARGV[3])
    redis.call('EXPIRE', KEYS[4], ARGV[4])
    redis.call('SADD', KEYS[5], ARGV[1])
end
local messages = news(6, 5)
if #messages > 0 then redis.call('PUBLISH', ARGV[2], '{"messages":[' .. table.concat(messages, ',') .. ']}') end
return #messages
