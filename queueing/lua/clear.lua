-- Removes everybody, from the queue and from the active users. Passes and tickets issued before are void.
-- Part before it: prelude.lua.
-- KEYS besides the prelude's: cleared_queue_key, cleared_active_key  who was removed, until they are told or soon after
-- ARGV: told_seconds  for how long that is kept
-- Result: waiting, active  how many there were
local waiting, active = redis.call('ZCARD', queue_key), redis.call('SCARD', active_key)
redis.call('UNLINK', cleared_queue_key, cleared_active_key)
for key, kept in pairs({[queue_key] = cleared_queue_key, [active_key] = cleared_active_key}) do
    if redis.call('EXISTS', key) == 1 then
        redis.call('RENAME', key, kept)
        redis.call('EXPIRE', kept, told_seconds)
    end
end
-- UNLINK: a million users are freed in the background, instead of blocking Redis for a second.
redis.call('UNLINK', queue_seen_key, grace_key, grace_until_key, active_until_key, active_seen_key, flow_key, probes_key)
redis.call('HDEL', state_key, 'outflow_since', 'outflow', 'outflow_us', 'rebuild_until')
save_state('cleared_at', now)
if waiting > 0 then count('dropped:cleared', waiting) end
if active > 0 then count('ended:cleared', active) end
return result({waiting = waiting, active = active})
