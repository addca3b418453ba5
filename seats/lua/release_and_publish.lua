-- Releases locks, gives the seat map its next version and publishes what has changed in it.
-- KEYS    version: of the seat map; seat_map: its cached response; lease: of whoever computes that; dirty_events: the set of
--         events whose status is to be updated; funnel: of the event; funnel_events: the set of events that have one; locks*;
--         rejections*: cached ones that are outdated; published*: the last published change of each changed seat
-- ARGV    token: the locks' owner, '' to delete them whoever owns them (the seats are available); event_id; channel;
--         stage: of the funnel, to be counted once, or ''; funnel_seconds: its life; numbers*, messages*: of the changes.
--         Without changes the map can only be fetched again.
-- Result  the version of the seat map
for _, lock in ipairs(locks) do
    if token == '' or redis.call('GET', lock) == token then redis.call('DEL', lock) end
end
for _, rejection in ipairs(rejections) do redis.call('DEL', rejection) end
redis.call('DEL', seat_map, lease)
redis.call('SADD', dirty_events, event_id)
if stage ~= '' then
    redis.call('HINCRBY', funnel, stage, 1)
    redis.call('EXPIRE', funnel, funnel_seconds)
    redis.call('SADD', funnel_events, event_id)
end
if redis.call('EXISTS', version) == 0 then
    -- The first version is the time in ms, so that versions grow even when Redis has lost the last one.
    local now = redis.call('TIME')
    redis.call('SET', version, now[1] * 1000 + math.floor(now[2] / 1000))
end
local fresh = deduplicate(published, numbers, messages)
if #messages > 0 and #fresh == 0 then return tonumber(redis.call('GET', version)) end
local current = redis.call('INCRBY', version, math.max(1, #fresh))
redis.call('PUBLISH', channel,
    '{"version":' .. string.format('%.0f', current) .. ',"messages":[' .. table.concat(fresh, ',') .. ']}')
return current
