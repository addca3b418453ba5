-- Publishes the status of an event, unless a later one was published before.
-- KEYS    published: the last published change of the status
-- ARGV    channel; number, message: of the change
-- Result  how many messages were published
local fresh = deduplicate({published}, {number}, {message})
if #fresh > 0 then redis.call('PUBLISH', channel, '{"messages":[' .. fresh[1] .. ']}') end
return #fresh
