-- A visitor is here: joins the queue, keeps their position alive, or is admitted. Parts before it: prelude.lua, queue_state.lua.
-- ARGV: mode           'check' joins the queue; 'status' does not; 'buy' is admitted by the same rule as 'check', and never joins
--       pass_epoch, pass_issued, pass_until       of the visitor's pass, or ''
--       ticket_epoch, ticket_issued, ticket_score of the visitor's ticket, or ''; the score is '' if it is a lot
--       lot            the visitor's lot in the draw, or '' if the caller does not know the seed
-- Result: the fields of queue_state(), or lot_seed alone
local function find_active()
    if redis.call('SISMEMBER', active_key, user_id) ~= 1 then return end
    local admitted_until = tonumber(redis.call('ZSCORE', active_until_key, user_id) or 0)
    local seen = tonumber(redis.call('ZSCORE', active_seen_key, user_id) or now)
    if admitted_until == 0 then -- written by others into the set only: the admission begins now
        admitted_until = now + policy.admission
        redis.call('ZADD', active_until_key, admitted_until, user_id)
    end
    if admitted_until > now and seen > now - policy.active_idle then
        redis.call('ZADD', active_seen_key, now, user_id)
        return {state = 'active', admitted_until = admitted_until}
    end
    end_admissions({user_id}, admitted_until > now and 'idle' or 'expired')
end

local function find_waiting()
    local score = redis.call('ZSCORE', queue_key, user_id)
    if not score then return end
    redis.call('ZADD', queue_seen_key, now, user_id)
    return {state = 'waiting', score = tonumber(score)}
end

-- Dropped from the queue, and back within the grace time: the old position.
local function return_in_grace()
    local score = redis.call('HGET', grace_key, user_id)
    if not score then return end
    local grace_until = tonumber(redis.call('ZSCORE', grace_until_key, user_id) or 0)
    redis.call('HDEL', grace_key, user_id)
    redis.call('ZREM', grace_until_key, user_id)
    if grace_until <= now then return end
    enqueue(tonumber(score))
    count('returned', 1)
    return {state = 'waiting', score = tonumber(score)}
end

-- Whether Redis has lost everything since a pass or ticket was issued. `issued` may be later than the epoch, if the clock
-- was set back by the loss.
local function is_of_lost_epoch(issued_in, issued)
    return issued_in and issued_in ~= epoch and issued > policy.cleared and issued > tonumber(state.cleared_at or 0)
        and redis.call('SISMEMBER', redeemed_key, user_id) == 0
end

local function redeem()
    begin_rebuild()
    redis.call('SADD', redeemed_key, user_id)
    redis.call('EXPIRE', redeemed_key, 86400) -- no admission lasts longer, see models.py
end

local function redeem_pass()
    local issued_in, admitted_until = tonumber(pass_epoch), tonumber(pass_until)
    if not is_of_lost_epoch(issued_in, tonumber(pass_issued)) or admitted_until <= now then return end
    redeem()
    if redis.call('SCARD', active_key) < policy.threshold then
        admit({user_id}, admitted_until, 'restored')
        return {state = 'active', admitted_until = admitted_until}
    end
    local score = policy.seed == '' and issued_in or 0 -- before everybody who waited in that epoch, also by lot
    enqueue(score)
    return {state = 'waiting', score = score}
end

-- The second result is true if the lot is needed.
local function redeem_ticket()
    local issued = tonumber(ticket_issued)
    local patience = policy.idle + policy.grace
    if not is_of_lost_epoch(tonumber(ticket_epoch), issued) or issued <= epoch - patience or now >= epoch + patience then
        return
    end
    local score = tonumber(ticket_score) or tonumber(lot)
    if not score then return nil, policy.seed ~= '' end
    redeem()
    if score >= FIRST_MOMENT then save_state('last_score', math.max(score, tonumber(state.last_score or 0))) end
    enqueue(score)
    count('returned', 1)
    return {state = 'waiting', score = score}
end

local function join(score)
    enqueue(score)
    count('joined', 1)
    return {state = 'waiting', score = score}
end

-- Admitted at once if nobody waits and the policy allows it; otherwise joins the queue, if the mode says so.
local function admit_or_join()
    if is_before_opening() then return join(tonumber(lot)) end
    local tokens = available_tokens()
    if is_admitting() and tokens >= 1 and active_before < policy.threshold and redis.call('ZCARD', queue_key) == 0 then
        save_state('tokens', tokens - 1, 'tokens_at', now)
        admit({user_id}, now + policy.admission, 'direct')
        return {state = 'active', admitted_until = now + policy.admission}
    end
    if mode == 'buy' then return {state = 'none'} end
    local score = math.max(now, tonumber(state.last_score or 0) + 1)
    save_state('last_score', score)
    return join(score)
end

local function check_in()
    local common = common_state()
    if common ~= 'none' then return queue_state({state = common}) end
    local visitor = find_active() or find_waiting() or return_in_grace() or redeem_pass()
    if visitor then return queue_state(visitor) end
    local lot_is_needed
    visitor, lot_is_needed = redeem_ticket()
    if lot_is_needed then return {lot_seed = policy.seed} end
    if visitor then return queue_state(visitor) end
    if mode == 'status' or mode == 'buy' and is_before_opening() then return queue_state({state = 'none'}) end
    if is_before_opening() and lot == '' then return {lot_seed = policy.seed} end
    return queue_state(admit_or_join())
end
