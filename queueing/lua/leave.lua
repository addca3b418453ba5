-- A user leaves: the position or the admission is free at once. Part before it: prelude.lua.
-- ARGV: cause  'left' (the queue or the admission), or why the admission ended: 'bought', 'cancelled'
--       owed_since  '', or the moment of the caller's clock at which Redis could not be told: a user who left, and has been
--                   seen since, is here again and stays
-- Result: had_place  1 if there was a position or an admission to give up, 0 otherwise
if owed_since ~= '' and cause == 'left' then
    local seen = redis.call('ZSCORE', active_seen_key, user_id) or redis.call('ZSCORE', queue_seen_key, user_id)
    if seen and tonumber(seen) > tonumber(owed_since) then return result({had_place = 0}) end
end
local was_active = redis.call('SISMEMBER', active_key, user_id)
if was_active == 1 then end_admissions({user_id}, cause) end
if cause ~= 'left' then return result({had_place = was_active}) end
local waited = redis.call('ZREM', queue_key, user_id) + redis.call('HDEL', grace_key, user_id)
redis.call('ZREM', queue_seen_key, user_id)
redis.call('ZREM', grace_until_key, user_id)
if waited > 0 then count('dropped:left', 1) end
return result({had_place = math.min(1, was_active + waited)})
