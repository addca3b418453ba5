-- One admission round of one event: silent users are dropped, then as many are admitted as policy and threshold allow, in
-- queue order. This script alone says how many: run twice at once, or after a pause, it admits no more.
-- Part before it: prelude.lua.
-- ARGV: limit  at most so many admissions in one call
-- Result: has_more           1 if there is more to do: call again at once
--         size, active       how many wait and are active now
--         is_policy_stale    1 if the policy is to be read again from PostgreSQL
--         is_draw_due        1 if a draw is to be recorded
--         is_empty           1 if nobody is left: deactivate the event
--         threshold, epoch, now
--         admitted           list of user, score, admitted until, in turn

if (policy.closed == '1' or policy.is_on ~= '1') and redis.call('EXISTS', queue_key, grace_key, active_key) > 0 then
    count('dropped:closed', redis.call('ZCARD', queue_key))
    count('ended:closed', redis.call('SCARD', active_key))
    redis.call('UNLINK', queue_key, queue_seen_key, grace_key, grace_until_key, active_key, active_until_key,
        active_seen_key, flow_key, probes_key)
end

-- Reconcile external writes: new members get a timestamp now, orphaned timestamps are dropped.
local function reconcile(members_key, size, times_key, moment)
    if size == redis.call('ZCARD', times_key) then return end
    for _, user in ipairs(redis.call('ZDIFF', 2, members_key, times_key)) do redis.call('ZADD', times_key, moment, user) end
    for _, user in ipairs(redis.call('ZDIFF', 2, times_key, members_key)) do redis.call('ZREM', times_key, user) end
end
reconcile(queue_key, redis.call('ZCARD', queue_key), queue_seen_key, now)
reconcile(active_key, redis.call('SCARD', active_key), active_until_key, now + policy.admission)
reconcile(active_key, redis.call('SCARD', active_key), active_seen_key, now)

-- The draw is held at the opening: those who wait now are its participants. They are stored before anybody is admitted, and
-- not during a rebuild: the published list must not leave out those who are still coming back.
if policy.opens > 0 and policy.opens <= now and not is_rebuilding() and tonumber(state.drawn_opening or 0) ~= policy.opens then
    redis.call('ZRANGESTORE', drawn_key, queue_key, '-inf', string.format('(%.0f', FIRST_MOMENT), 'BYSCORE')
    save_state('drawn_opening', policy.opens, 'draw_due', 1)
end
local is_draw_due = tonumber(state.draw_due or 0)

-- A sign of life later than now: the clock was set back, and silent users would stay until it has caught up.
local early = 0
for _, seen_key in ipairs({queue_seen_key, active_seen_key}) do
    local users = redis.call('ZRANGEBYSCORE', seen_key, string.format('(%.0f', now), '+inf', 'LIMIT', 0, CHUNK)
    for _, user in ipairs(users) do redis.call('ZADD', seen_key, now, user) end
    early = math.max(early, #users)
end

local silent = {}
for _ = 1, 5 do
    silent = redis.call('ZRANGEBYSCORE', queue_seen_key, '-inf', now - policy.idle, 'LIMIT', 0, CHUNK)
    if #silent == 0 then break end
    local scores, grace, grace_until = redis.call('ZMSCORE', queue_key, unpack(silent)), {}, {}
    for number, user in ipairs(silent) do
        if scores[number] then
            grace[#grace + 1], grace[#grace + 2] = user, scores[number]
            grace_until[#grace_until + 1], grace_until[#grace_until + 2] = now + policy.grace, user
        end
    end
    if #grace > 0 then
        redis.call('HSET', grace_key, unpack(grace))
        redis.call('ZADD', grace_until_key, unpack(grace_until))
        count('dropped:idle', #grace / 2)
    end
    redis.call('ZREM', queue_key, unpack(silent))
    redis.call('ZREM', queue_seen_key, unpack(silent))
end
local grace_over = redis.call('ZRANGEBYSCORE', grace_until_key, '-inf', now, 'LIMIT', 0, CHUNK)
if #grace_over > 0 then
    redis.call('HDEL', grace_key, unpack(grace_over))
    redis.call('ZREM', grace_until_key, unpack(grace_over))
end
local ended = end_due_admissions(CHUNK)
local has_more = (early == CHUNK or #silent == CHUNK or ended >= CHUNK) and 1 or 0

-- How many are admitted. Not before everybody who is due has been dropped.
local to_admit = 0
if has_more == 0 and is_admitting() then
    local tokens = available_tokens()
    local possible =
        math.floor(math.min(policy.threshold - redis.call('SCARD', active_key), tokens, redis.call('ZCARD', queue_key)))
    to_admit = math.max(0, math.min(possible, tonumber(limit)))
    if to_admit < possible then has_more = 1 end
    if to_admit > 0 then save_state('tokens', tokens - to_admit, 'tokens_at', now) end
end

local function bucket_of(value, bounds)
    for _, bound in ipairs(bounds) do
        if value <= bound then return bound end
    end
    return 'inf'
end

local WAIT_BUCKETS = {5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200} -- seconds, as in metrics.py
local admitted, last_score = {}, -1
local waits, wait_sum = {}, 0
local done = 0
while done < to_admit do
    local popped = redis.call('ZPOPMIN', queue_key, math.min(CHUNK, to_admit - done))
    local users = {}
    for index = 1, #popped, 2 do
        local user, score = popped[index], tonumber(popped[index + 1])
        users[#users + 1] = user
        admitted[#admitted + 1], admitted[#admitted + 2] = user, score
        admitted[#admitted + 1] = now + policy.admission
        last_score = math.max(last_score, score)
        local joined_at = score >= FIRST_MOMENT and score or policy.opens > 0 and policy.opens or now
        local seconds = math.max(0, now - joined_at) / 1000000
        wait_sum = wait_sum + seconds
        local bucket = bucket_of(seconds, WAIT_BUCKETS)
        waits[bucket] = (waits[bucket] or 0) + 1
    end
    admit(users, now + policy.admission, 'from_queue')
    redis.call('ZREM', queue_seen_key, unpack(users))
    done = done + #users
end
for bucket, times in pairs(waits) do count('wait:' .. bucket, times) end
if done > 0 then redis.call('HINCRBYFLOAT', stats_key, 'wait_sum', wait_sum) end

-- Admissions from the queue within the last minute: estimates are made of them. The first round that finds a queue is left
-- out: it admits a burst, which says nothing about what follows.
local size, active = redis.call('ZCARD', queue_key), redis.call('SCARD', active_key)
local second = math.floor(now / 1000000)
if size + done == 0 then
    if state.outflow_since then
        redis.call('HDEL', state_key, 'outflow_since', 'outflow', 'outflow_us')
        redis.call('DEL', flow_key)
    end
elseif not state.outflow_since then
    if is_admitting() then save_state('outflow_since', now) end
else
    if tonumber(state.outflow_since) > now then save_state('outflow_since', now) end -- the clock was set back
    if done > 0 then redis.call('HINCRBY', flow_key, second, done) end
    local outflow = 0
    for at, times in pairs(read_hash(flow_key)) do
        if tonumber(at) <= second - 60 or tonumber(at) > second then
            redis.call('HDEL', flow_key, at)
        else
            outflow = outflow + times
        end
    end
    save_state('outflow', outflow, 'outflow_us', math.min(60000000, math.max(0, now - tonumber(state.outflow_since))))
end

-- Every few seconds the estimate for the last in the queue is stored, to be compared with what happens.
local ERROR_BUCKETS = {0.05, 0.1, 0.2, 0.3, 0.5, 1, 2} -- as in metrics.py
if last_score >= 0 then
    for _, probe in ipairs(redis.call('ZRANGEBYSCORE', probes_key, '-inf', last_score)) do
        local estimated_at, estimate = string.match(probe, '(%d+):(%d+)')
        local wait = math.max(1, now - tonumber(estimated_at))
        local error_ratio = math.abs(tonumber(estimate) - wait) / wait
        count('error:' .. bucket_of(error_ratio, ERROR_BUCKETS), 1)
        redis.call('HINCRBYFLOAT', stats_key, 'error_sum', error_ratio)
    end
    redis.call('ZREMRANGEBYSCORE', probes_key, '-inf', last_score)
end
local outflow = tonumber(state.outflow or 0)
local is_probe_due = math.abs(now - tonumber(state.probed_at or 0)) >= 5000000
if size > 0 and outflow > 0 and is_probe_due and redis.call('ZCARD', probes_key) < 1000 then
    local last = redis.call('ZREVRANGE', queue_key, 0, 0, 'WITHSCORES')
    local estimate = size * tonumber(state.outflow_us) / outflow
    redis.call('ZADD', probes_key, last[2], string.format('%.0f:%.0f', now, estimate))
    save_state('probed_at', now)
end

if is_policy_stale then redis.call('HSET', policy_key, 'fresh_until', now + 10000000) end -- asked for once in 10 s

-- An event that nobody uses any more is kept for 30 days.
local is_empty = size == 0 and active == 0 and redis.call('HLEN', grace_key) == 0 and is_draw_due == 0
if is_empty then
    redis.call('HDEL', state_key, 'round_at', 'activation_asked_at')
    for _, key in ipairs({state_key, policy_key, stats_key}) do redis.call('EXPIRE', key, 2592000) end
else
    if not state.round_at then -- it was empty before
        for _, key in ipairs({state_key, policy_key, stats_key}) do redis.call('PERSIST', key) end
    end
    save_state('round_at', now)
end
return result({
    has_more = has_more,
    size = size,
    active = active,
    is_policy_stale = is_policy_stale and 1 or 0,
    is_draw_due = is_draw_due,
    is_empty = is_empty and 1 or 0,
    threshold = policy.threshold,
    epoch = epoch,
    now = now,
    admitted = admitted,
})
