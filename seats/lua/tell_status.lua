-- Tells the status of an event, unless a later one was told already.
-- KEYS: what was told last of it
-- ARGV: the event's channel, number and message of the change
-- Result: how many messages were told
local messages = news(1, 2)
if #messages > 0 then redis.call('PUBLISH', ARGV[1], '{"messages":[' .. messages[1] .. ']}') end
return #messages
