-- Everybody goes, from the line and from the inside. What was proven before is worth nothing afterwards.
-- Result: {how many stood in line, how many were inside}
local stood, inside = redis.call('ZCARD', QUEUE), redis.call('SCARD', ACTIVE)
-- UNLINK: a million people are freed beside the work, instead of holding up everybody for a second.
redis.call('UNLINK', QUEUE, SEEN, KEPT, KEPT_UNTIL, ACTIVE, UNTIL, SEEN_INSIDE, FLOW, PROBES)
redis.call('HDEL', STATE, 'flowing', 'outflow', 'outflow_us', 'rebuild')
remember('cleared', now)
if stood > 0 then count('dropped:cleared', stood) end
if inside > 0 then count('out:cleared', inside) end
return {stood, inside}
