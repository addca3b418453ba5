-- One tick of one event: the dead are dropped, then as many are let in as policy and room allow, oldest first. This script
-- alone says how many: run twice at once or after a pause, it lets in no more.
-- ARGV 4: at most so many in one call.
-- Result: {again (1: there is more to do, call at once), size, inside, policy is to be looked up again, draw is to be
--          recorded, nobody is left, threshold, epoch, now, then user, place, until of each who was let in}
if (policy.closed == '1' or policy.is_on ~= '1') and redis.call('EXISTS', QUEUE, KEPT, ACTIVE) > 0 then
    count('dropped:closed', redis.call('ZCARD', QUEUE))
    count('out:closed', redis.call('SCARD', ACTIVE))
    redis.call('UNLINK', QUEUE, SEEN, KEPT, KEPT_UNTIL, ACTIVE, UNTIL, SEEN_INSIDE, FLOW, PROBES)
end

-- Others have written to the line or the inside: who came that way has times from now on, who is gone has none.
local function adopt(users, size, times, moment)
    if size == redis.call('ZCARD', times) then return end
    for _, who in ipairs(redis.call('ZDIFF', 2, users, times)) do redis.call('ZADD', times, moment, who) end
    for _, who in ipairs(redis.call('ZDIFF', 2, times, users)) do redis.call('ZREM', times, who) end
end
adopt(QUEUE, redis.call('ZCARD', QUEUE), SEEN, now)
adopt(ACTIVE, redis.call('SCARD', ACTIVE), UNTIL, now + policy.admission)
adopt(ACTIVE, redis.call('SCARD', ACTIVE), SEEN_INSIDE, now)

-- At the opening: who stands here was drawn by lot. Remembered before anybody is let in, and not while those come back who
-- were lost: the list that is published must not leave them out.
local is_rebuilt = tonumber(state.rebuild or 0) <= now
if policy.opens > 0 and policy.opens <= now and is_rebuilt and tonumber(state.drawn or 0) ~= policy.opens then
    redis.call('ZRANGESTORE', DRAWN, QUEUE, '-inf', string.format('(%.0f', LOTS), 'BYSCORE')
    remember('drawn', policy.opens, 'draw_due', 1)
end
local draw_is_due = tonumber(state.draw_due or 0)

-- Nobody was heard of later than now: the clock was set back, and the silent would stay until it has caught up.
local early = 0
for _, seen in ipairs({SEEN, SEEN_INSIDE}) do
    local users = redis.call('ZRANGEBYSCORE', seen, string.format('(%.0f', now), '+inf', 'LIMIT', 0, CHUNK)
    for _, who in ipairs(users) do redis.call('ZADD', seen, now, who) end
    early = math.max(early, #users)
end

local dead = {}
for _ = 1, 5 do
    dead = redis.call('ZRANGEBYSCORE', SEEN, '-inf', now - policy.idle, 'LIMIT', 0, CHUNK)
    if #dead == 0 then break end
    local places, kept, kept_until = redis.call('ZMSCORE', QUEUE, unpack(dead)), {}, {}
    for number, who in ipairs(dead) do
        if places[number] then
            kept[#kept + 1], kept[#kept + 2] = who, places[number]
            kept_until[#kept_until + 1], kept_until[#kept_until + 2] = now + policy.grace, who
        end
    end
    if #kept > 0 then
        redis.call('HSET', KEPT, unpack(kept))
        redis.call('ZADD', KEPT_UNTIL, unpack(kept_until))
        count('dropped:idle', #kept / 2)
    end
    redis.call('ZREM', QUEUE, unpack(dead))
    redis.call('ZREM', SEEN, unpack(dead))
end
local forgotten = redis.call('ZRANGEBYSCORE', KEPT_UNTIL, '-inf', now, 'LIMIT', 0, CHUNK)
if #forgotten > 0 then
    redis.call('HDEL', KEPT, unpack(forgotten))
    redis.call('ZREM', KEPT_UNTIL, unpack(forgotten))
end
local put_out_now = put_out_due(CHUNK)
local again = (early == CHUNK or #dead == CHUNK or put_out_now >= CHUNK) and 1 or 0

local admitted, horizon = {}, -1
local room = 0
if again == 0 and is_open() then
    local left = tokens()
    local wanted = math.floor(math.min(policy.threshold - redis.call('SCARD', ACTIVE), left, redis.call('ZCARD', QUEUE)))
    room = math.max(0, math.min(wanted, tonumber(ARGV[4])))
    if room < wanted then again = 1 end
    if room > 0 then remember('tokens', left - room, 'tokens_at', now) end
end
local buckets = {5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200}
local waits, waited = {}, 0
local done = 0
while done < room do
    local popped = redis.call('ZPOPMIN', QUEUE, math.min(CHUNK, room - done))
    local users = {}
    for number = 1, #popped, 2 do
        local place = tonumber(popped[number + 1])
        users[#users + 1] = popped[number]
        admitted[#admitted + 1], admitted[#admitted + 2] = popped[number], place
        admitted[#admitted + 1] = now + policy.admission
        horizon = math.max(horizon, place)
        local since = place >= LOTS and place or policy.opens > 0 and policy.opens or now
        local seconds = math.max(0, now - since) / 1000000
        waited = waited + seconds
        local bucket = 'inf'
        for _, most in ipairs(buckets) do
            if seconds <= most then bucket = most break end
        end
        waits[bucket] = (waits[bucket] or 0) + 1
    end
    let_in(users, now + policy.admission, 'from_line')
    redis.call('ZREM', SEEN, unpack(users))
    done = done + #users
end
for bucket, times in pairs(waits) do count('wait:' .. bucket, times) end
if done > 0 then redis.call('HINCRBYFLOAT', STATS, 'wait_sum', waited) end

-- What went out of the line in the last minute, of which estimates are made. The first tick that finds a line is left out:
-- it lets in a burst, and says nothing about what follows.
local size, inside = redis.call('ZCARD', QUEUE), redis.call('SCARD', ACTIVE)
local second = math.floor(now / 1000000)
if size + done == 0 then
    if state.flowing then
        redis.call('HDEL', STATE, 'flowing', 'outflow', 'outflow_us')
        redis.call('DEL', FLOW)
    end
elseif not state.flowing then
    if is_open() then remember('flowing', now) end
else
    if tonumber(state.flowing) > now then remember('flowing', now) end -- the clock was set back
    if done > 0 then redis.call('HINCRBY', FLOW, second, done) end
    local outflow = 0
    for at, times in pairs(hash(FLOW)) do
        if tonumber(at) <= second - 60 or tonumber(at) > second then redis.call('HDEL', FLOW, at) else outflow = outflow + times end
    end
    remember('outflow', outflow, 'outflow_us', math.min(60000000, math.max(0, now - tonumber(state.flowing))))
end

-- Every few seconds the estimate of who stands last is noted, to be compared with what happens.
if horizon >= 0 then
    for _, probe in ipairs(redis.call('ZRANGEBYSCORE', PROBES, '-inf', horizon)) do
        local made, foreseen = string.match(probe, '(%d+):(%d+)')
        local took = math.max(1, now - tonumber(made))
        local off, bucket = math.abs(tonumber(foreseen) - took) / took, 'inf'
        for _, most in ipairs({0.05, 0.1, 0.2, 0.3, 0.5, 1, 2}) do
            if off <= most then bucket = most break end
        end
        count('error:' .. bucket, 1)
        redis.call('HINCRBYFLOAT', STATS, 'error_sum', off)
    end
    redis.call('ZREMRANGEBYSCORE', PROBES, '-inf', horizon)
end
local outflow = tonumber(state.outflow or 0)
if size > 0 and outflow > 0 and math.abs(now - tonumber(state.probed or 0)) >= 5000000 and redis.call('ZCARD', PROBES) < 1000 then
    local last = redis.call('ZREVRANGE', QUEUE, 0, 0, 'WITHSCORES')
    local foreseen = size * tonumber(state.outflow_us) / outflow
    redis.call('ZADD', PROBES, last[2], string.format('%.0f:%.0f', now, foreseen))
    remember('probed', now)
end

local stale = 0
if is_policy_old() then
    redis.call('HSET', POLICY, 'fresh', now + 10000000)
    stale = 1
end
local nobody = 0
if size == 0 and inside == 0 and redis.call('HLEN', KEPT) == 0 and draw_is_due == 0 then
    nobody = 1
    redis.call('HDEL', STATE, 'ticked', 'asked')
    for _, key in ipairs({STATE, POLICY, STATS}) do redis.call('EXPIRE', key, 2592000) end
else
    if not state.ticked then -- there was nobody
        for _, key in ipairs({STATE, POLICY, STATS}) do redis.call('PERSIST', key) end
    end
    remember('ticked', now)
end
return {again, size, inside, stale, draw_is_due, nobody, policy.threshold, epoch, now, unpack(admitted)}
