-- The version of the seat map; counting starts at the time in ms, which is more than any version so far.
-- KEYS: the map's version, its cached answer, the lease of who computes it
-- ARGV: '1' if Redis was restarted: a version from before then starts anew, since it may have been restored from an old file
-- Result: the version
local counted = tonumber(redis.call('GET', KEYS[1]) or 0)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Another process may have started anew just now.
if counted > 0 and not (ARGV[1] == '1' and counted < now - 1000) then return counted end
redis.call('SET', KEYS[1], now)
if ARGV[1] == '1' then redis.call('DEL', KEYS[2], KEYS[3]) end -- else who computes the map asks this
return now
