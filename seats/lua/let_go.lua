-- Lets go of locks, each only if it is still the owner's; marks seats as taken, or no longer; and in the same breath tells
-- what has changed in the seat map.
-- KEYS: the map's version, its cached answer, the lease of who computes it, the set of touched events, the event's funnel,
--       the set of events that have one, then the locks, then the marks
-- ARGV: owner's token ('': whosoever, since the seats are free), how many versions the map has gone on (0: unchanged), the
--       event's id, its channel, messages (JSON), the stage of the funnel that was reached ('': none), the funnel's life in s,
--       how many locks, the marks' life in ms (0: they are taken away), and what stands in each
-- Result: the map's version, or 0 if it has not changed.
local last, are_ours = 6 + ARGV[8], true
for place = 7, last do
    if ARGV[1] == '' or redis.call('GET', KEYS[place]) == ARGV[1] then
        redis.call('DEL', KEYS[place])
    else
        are_ours = false -- they have ended, or the seats were set free meanwhile: what we know of them is old
    end
end
for place = last + 1, #KEYS do
    if ARGV[9] == '0' then
        redis.call('DEL', KEYS[place])
    elseif are_ours then
        redis.call('SET', KEYS[place], ARGV[9 + place - last], 'PX', ARGV[9])
    end
end
if ARGV[2] == '0' then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SADD', KEYS[4], ARGV[3])
if ARGV[6] ~= '' then
    redis.call('HINCRBY', KEYS[5], ARGV[6], 1)
    redis.call('EXPIRE', KEYS[5], ARGV[7])
    redis.call('SADD', KEYS[6], ARGV[3])
end
if redis.call('EXISTS', KEYS[1]) == 0 then
    -- The first version is the time in ms, so that versions grow even when Redis has forgotten the last one.
    local now = redis.call('TIME')
    redis.call('SET', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000))
end
local version = redis.call('INCRBY', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], '{"version":' .. string.format('%.0f', version) .. ',"messages":' .. ARGV[5] .. '}')
return version
