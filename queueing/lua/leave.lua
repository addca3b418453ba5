-- Somebody goes: the place is free at once. ARGV 4: 'left' (from the line, too), or why the admission is over.
-- Result: 1 if there was a place.
local gone = redis.call('SISMEMBER', ACTIVE, user)
if gone == 1 then put_out({user}, ARGV[4]) end
if ARGV[4] ~= 'left' then return gone end
local stood = redis.call('ZREM', QUEUE, user) + redis.call('HDEL', KEPT, user)
redis.call('ZREM', SEEN, user)
redis.call('ZREM', KEPT_UNTIL, user)
if stood > 0 then count('dropped:left', 1) end
return math.min(1, gone + stood)
