-- GCRA: counts a request of a subject, or refuses it and leaves everything as it is. Other scripts may begin with this one, and
-- use its `now`, in microseconds since 1970. It defines no functions: each costs Redis half a microsecond.
-- KEYS: rate_key          the moment at which the subject will have its whole allowance again; expires then
-- ARGV: rate_interval     how long one request takes of the allowance, in microseconds; 0: there is no limit
--       rate_interval_ms  the same in milliseconds, rounded up
--       rate_period       the whole allowance, in microseconds
-- Result of a script that begins with this one, if the request is refused: the status reply 'RATE_LIMITED {microseconds to wait}'.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Mostly the subject has its whole allowance, and one command is enough.
if rate_interval ~= '0'
    and not redis.call('SET', rate_key, now + rate_interval, 'NX', 'PX', rate_interval_ms) then
    local whole_at = tonumber(redis.call('GET', rate_key) or 0)
    -- Later than it can be: the clock was set back.
    if whole_at < now or whole_at > now + rate_period then whole_at = now end
    whole_at = whole_at + rate_interval
    if whole_at > now + rate_period then
        return redis.status_reply('RATE_LIMITED ' .. (whole_at - now - rate_period))
    end
    redis.call('SET', rate_key, whole_at, 'PX', math.ceil((whole_at - now) / 1000))
end
