-- Publishes changes of stock, and forgets the cached response that shows it.
-- KEYS    event: the cached response; lease: of whoever computes it; dirty_events: the set of events whose status is to be
--         updated; funnel: of the event; funnel_events: the set of events that have one; published*: the last published change
--         of each changed ticket type
-- ARGV    event_id; channel; reserved: how many new reservations are counted in the funnel; funnel_seconds: its life;
--         numbers*, messages*: of the changes
-- Result  how many messages were published
redis.call('DEL', event, lease)
redis.call('SADD', dirty_events, event_id)
if reserved ~= '0' then
    redis.call('HINCRBY', funnel, 'reserved', reserved)
    redis.call('EXPIRE', funnel, funnel_seconds)
    redis.call('SADD', funnel_events, event_id)
end
local fresh = deduplicate(published, numbers, messages)
if #fresh > 0 then redis.call('PUBLISH', channel, '{"messages":[' .. table.concat(fresh, ',') .. ']}') end
return #fresh
