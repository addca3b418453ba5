-- The common beginning of the waiting room's scripts: policy, persistent state, and the moves between the sets. It needs `now`,
-- from clock.lua, or from the script of the rate limits.
--
-- KEYS: queue_key         users who wait, by score: the moment of joining, unique; below FIRST_MOMENT it is a lot of the draw
--       queue_seen_key    the same users, by their last sign of life
--       grace_key         scores of users who were dropped from the queue and may return to their position
--       grace_until_key   the same users, by the end of their grace time
--       active_key        users who have been admitted
--       active_until_key  the same users, by the end of their admission
--       active_seen_key   the same users, by their last sign of life
--       state_key         what the scripts store between calls
--       policy_key        the event's policy, written by set_policy.lua
--       stats_key         counters, read by the metrics
--       flow_key          admissions from the queue per second, for the last minute
--       probes_key        estimates of the wait, to be compared with what happens
--       drawn_key         the participants of a draw that is still to be recorded, by lot
--       redeemed_key      users whose pass or ticket of a lost epoch has been redeemed
-- ARGV: user_id           '' if the call is about nobody in particular
--       lost_epoch        the epoch in which the caller saw a queue that Redis may have lost since, or ''
--       rebuild_us        for how long nobody is admitted after Redis has lost a queue
-- Moments are Redis' own, in microseconds since 1970; durations are in microseconds.
-- Result of every script, if Redis does not know the event's policy: the status reply POLICY_UNKNOWN.
local POLICY_UNKNOWN = redis.status_reply('POLICY_UNKNOWN')
local FIRST_MOMENT = 1125899906842624 -- 2^50: lots are below, moments since 2005 are above
local CHUNK = 1000 -- of unpack(), which has a limit of some thousands

local function read_hash(key)
    local flat, fields = redis.call('HGETALL', key), {}
    for index = 1, #flat, 2 do fields[flat[index]] = flat[index + 1] end
    return fields
end

local policy = read_hash(policy_key)
if not policy.is_on then return POLICY_UNKNOWN end
for _, name in ipairs({'threshold', 'rate', 'burst', 'admission', 'idle', 'grace', 'active_idle', 'opens', 'cleared',
                       'sale_from', 'sale_to'}) do
    policy[name] = tonumber(policy[name])
    if not policy[name] then return POLICY_UNKNOWN end
end
-- fresh_until is never later than set_policy.lua says, unless the clock was set back.
local fresh_until = tonumber(policy.fresh_until or 0)
local is_policy_stale = now > fresh_until or fresh_until > now + 60000000

local state = read_hash(state_key)
local function save_state(...)
    redis.call('HSET', state_key, ...)
    local fields = {...}
    for index = 1, #fields, 2 do state[fields[index]] = fields[index + 1] end
end

-- An epoch begins when Redis has lost everything. The queue comes back as its users do: for a while nobody is admitted, so
-- that nobody is overtaken. Once per epoch, and only while the users' passes and tickets are still worth something.
if not state.epoch then
    save_state('epoch', now, 'tokens', math.max(policy.burst, policy.rate), 'tokens_at', now)
end
local epoch = tonumber(state.epoch)
local function begin_rebuild()
    if state.rebuild_until or state.cleared_at or now - epoch >= policy.idle + policy.grace then return end
    save_state('rebuild_until', now + tonumber(rebuild_us), 'tokens', 0, 'tokens_at', now)
end
if lost_epoch ~= '' and tonumber(lost_epoch) ~= epoch then begin_rebuild() end
-- Moments later than they can be: the clock was set back, and nobody is to wait until it has caught up.
if tonumber(state.tokens_at or 0) > now then save_state('tokens_at', now) end
if tonumber(state.rebuild_until or 0) > now + tonumber(rebuild_us) then
    save_state('rebuild_until', now + tonumber(rebuild_us))
end

local function count(stat, times) redis.call('HINCRBY', stats_key, stat, times) end

local function end_admissions(users, cause)
    if #users == 0 then return end
    redis.call('SREM', active_key, unpack(users))
    redis.call('ZREM', active_until_key, unpack(users))
    redis.call('ZREM', active_seen_key, unpack(users))
    count('ended:' .. cause, #users)
end

-- Ends the admissions that are over, or whose users were silent for too long. Returns how many, at most twice `limit`.
local function end_due_admissions(limit)
    local expired = redis.call('ZRANGEBYSCORE', active_until_key, '-inf', now, 'LIMIT', 0, limit)
    end_admissions(expired, 'expired')
    local idle = redis.call('ZRANGEBYSCORE', active_seen_key, '-inf', now - policy.active_idle, 'LIMIT', 0, limit)
    end_admissions(idle, 'idle')
    return #expired + #idle
end

-- At most CHUNK users.
local function admit(users, admitted_until, way)
    local ends, seen = {}, {}
    for number, user in ipairs(users) do
        ends[2 * number - 1], ends[2 * number] = admitted_until, user
        seen[2 * number - 1], seen[2 * number] = now, user
    end
    redis.call('SADD', active_key, unpack(users))
    redis.call('ZADD', active_until_key, unpack(ends))
    redis.call('ZADD', active_seen_key, unpack(seen))
    count('admitted:' .. way, #users)
end

local function enqueue(score)
    redis.call('ZADD', queue_key, score, user_id)
    redis.call('ZADD', queue_seen_key, now, user_id)
end

-- Admissions that may be made now: a token bucket that fills at the policy's rate. However the clock is set, it holds no
-- more than a burst.
local function available_tokens()
    local most = math.max(policy.burst, policy.rate)
    local stored = tonumber(state.tokens or most)
    return math.min(most, stored + (now - tonumber(state.tokens_at or now)) * policy.rate / 1000000)
end

local function is_before_opening() -- once drawn the queue stays open, also when the clock is set back
    return policy.opens > now and tonumber(state.drawn_opening or 0) ~= policy.opens
end

local function is_rebuilding() return tonumber(state.rebuild_until or 0) > now end

local function is_admitting()
    return policy.paused ~= '1' and policy.closed ~= '1' and not is_before_opening() and not is_rebuilding()
end
