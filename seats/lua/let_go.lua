-- Lets go of locks, each only if it is still the owner's; marks seats as taken, or no longer; and in the same breath tells
-- what has changed in the seat map.
-- KEYS: the map's version, its cached answer, the lease of who computes it, the set of touched events, the event's funnel,
--       the set of events that have one, then the locks, then the marks, then what was told last of each changed seat
-- ARGV: owner's token ('': whosoever, since the seats are free), 1 if the map has changed, the event's id, its channel, the
--       stage of the funnel that was reached ('': none), the funnel's life in s, how many locks, the marks' life in ms (0:
--       they are taken away), how many marks, what stands in each, then number and message of each change; without changes
--       the map can only be fetched
-- Result: the map's version, or 0 if it has not changed.
local locks, marks = tonumber(ARGV[7]), tonumber(ARGV[9])
local changes, are_ours = #KEYS - 6 - locks - marks, true
for place = 7, 6 + locks do
    if ARGV[1] == '' or redis.call('GET', KEYS[place]) == ARGV[1] then
        redis.call('DEL', KEYS[place])
    else
        are_ours = false -- they have ended, or the seats were set free meanwhile: what we know of them is old
    end
end
for mark = 1, marks do
    if ARGV[8] == '0' then
        redis.call('DEL', KEYS[6 + locks + mark])
    elseif are_ours then
        redis.call('SET', KEYS[6 + locks + mark], ARGV[9 + mark], 'PX', ARGV[8])
    end
end
if ARGV[2] == '0' then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SADD', KEYS[4], ARGV[3])
if ARGV[5] ~= '' then
    redis.call('HINCRBY', KEYS[5], ARGV[5], 1)
    redis.call('EXPIRE', KEYS[5], ARGV[6])
    redis.call('SADD', KEYS[6], ARGV[3])
end
if redis.call('EXISTS', KEYS[1]) == 0 then
    -- The first version is the time in ms, so that versions grow even when Redis has forgotten the last one.
    local now = redis.call('TIME')
    redis.call('SET', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000))
end
local messages = news(7 + locks + marks, 10 + marks)
if changes > 0 and #messages == 0 then return tonumber(redis.call('GET', KEYS[1])) end
local version = redis.call('INCRBY', KEYS[1], math.max(1, #messages))
redis.call('PUBLISH', ARGV[4], '{"version":' .. string.format('%.0f', version) .. ',"messages":[' .. table.concat(messages, ',') .. ']}')
return version
