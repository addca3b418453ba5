-- Lets go of locks, each only if it is still the owner's, and says in the same breath that the seat map has changed.
-- KEYS: the map's version, its cached answer, the lease of who computes it, then the locks
-- ARGV: owner's token, 1 if the map has changed
-- Result: the map's version, or 0 if it has not changed.
for place = 4, #KEYS do
    if redis.call('GET', KEYS[place]) == ARGV[1] then redis.call('DEL', KEYS[place]) end
end
if ARGV[2] ~= '1' then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 0 then
    -- The first version is the time in ms, so that versions grow even when Redis has forgotten the last one.
    local now = redis.call('TIME')
    redis.call('SET', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000))
end
return redis.call('INCR', KEYS[1])
