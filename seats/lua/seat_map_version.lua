-- The version of the seat map. Counting starts at the time in ms, which is more than any version so far.
-- KEYS    version; seat_map: the map's cached response; lease: of whoever computes that
-- ARGV    redis_was_restarted: '1' if so: an older version may have been restored from an old file, and counting starts again
-- Result  the version
local counted = tonumber(redis.call('GET', version) or 0)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Another process may have started counting within the last second.
if counted > 0 and not (redis_was_restarted == '1' and counted < now - 1000) then return counted end
redis.call('SET', version, now)
-- Only after a restart: else the caller may be the one that computes the map, and would lose its lease.
if redis_was_restarted == '1' then redis.call('DEL', seat_map, lease) end
return now
