-- A visitor is here: joins the queue, keeps their position alive, or is admitted. Parts before it: prelude.lua, queue_state.lua.
-- What follows it returns `fields`. It defines no functions on the way of most calls: each costs Redis half a microsecond.
-- ARGV: mode           'check' joins the queue; 'status' does not; 'buy' is admitted by the same rule as 'check', and never joins
--       pass_epoch, pass_issued, pass_until       of the visitor's pass, or ''
--       ticket_epoch, ticket_issued, ticket_score of the visitor's ticket, or ''; the score is '' if it is a lot
--       lot            the visitor's lot in the draw, or '' if the caller does not know the seed
-- Result: the fields of queue_state(), or lot_seed alone
local visitor, lot_is_needed -- the visitor is nil until their state is known
if common_state ~= 'none' then visitor = {state = common_state} end

-- Active?
if not visitor and redis.call('SISMEMBER', active_key, user_id) == 1 then
    local admitted_until = tonumber(redis.call('ZSCORE', active_until_key, user_id) or 0)
    local seen = tonumber(redis.call('ZSCORE', active_seen_key, user_id) or now)
    if admitted_until == 0 then -- written by others into the set only: the admission begins now
        admitted_until = now + policy.admission
        redis.call('ZADD', active_until_key, admitted_until, user_id)
    end
    if admitted_until > now and seen > now - policy.active_idle then
        redis.call('ZADD', active_seen_key, now, user_id)
        visitor = {state = 'active', admitted_until = admitted_until}
    else
        end_admissions({user_id}, admitted_until > now and 'idle' or 'expired')
    end
end

-- Waiting?
if not visitor then
    local score = redis.call('ZSCORE', queue_key, user_id)
    if score then
        redis.call('ZADD', queue_seen_key, now, user_id)
        visitor = {state = 'waiting', score = tonumber(score)}
    end
end

-- Dropped from the queue, and back within the grace time: the old position.
if not visitor then
    local score = redis.call('HGET', grace_key, user_id)
    if score then
        local grace_until = tonumber(redis.call('ZSCORE', grace_until_key, user_id) or 0)
        redis.call('HDEL', grace_key, user_id)
        redis.call('ZREM', grace_until_key, user_id)
        if grace_until > now then
            enqueue(tonumber(score))
            count('returned', 1)
            visitor = {state = 'waiting', score = tonumber(score)}
        end
    end
end

-- Redis has lost everything since a pass or ticket was issued: what it proves is restored, once.
if not visitor and (pass_epoch ~= '' or ticket_epoch ~= '') then
    -- `issued` may be later than the epoch, if the clock was set back by the loss.
    local function is_of_lost_epoch(issued_in, issued)
        return issued_in and issued_in ~= epoch and issued > policy.cleared and issued > tonumber(state.cleared_at or 0)
            and redis.call('SISMEMBER', redeemed_key, user_id) == 0
    end

    local function redeem()
        begin_rebuild()
        redis.call('SADD', redeemed_key, user_id)
        redis.call('EXPIRE', redeemed_key, 86400) -- no admission lasts longer, see models.py
    end

    local issued_in, admitted_until = tonumber(pass_epoch), tonumber(pass_until)
    if is_of_lost_epoch(issued_in, tonumber(pass_issued)) and admitted_until > now then
        redeem()
        if redis.call('SCARD', active_key) < policy.threshold then
            admit({user_id}, admitted_until, 'restored')
            visitor = {state = 'active', admitted_until = admitted_until}
        else
            local score = policy.seed == '' and issued_in or 0 -- before everybody who waited in that epoch, also by lot
            enqueue(score)
            visitor = {state = 'waiting', score = score}
        end
    end

    local issued, patience = tonumber(ticket_issued), policy.idle + policy.grace
    if not visitor and is_of_lost_epoch(tonumber(ticket_epoch), issued)
        and issued > epoch - patience and now < epoch + patience then
        local score = tonumber(ticket_score) or tonumber(lot)
        if score then
            redeem()
            if score >= FIRST_MOMENT then save_state('last_score', math.max(score, tonumber(state.last_score or 0))) end
            enqueue(score)
            count('returned', 1)
            visitor = {state = 'waiting', score = score}
        else
            lot_is_needed = policy.seed ~= ''
        end
    end
end

-- A newcomer is admitted at once if nobody waits and the policy allows it; otherwise joins the queue, if the mode says so.
if not visitor and not lot_is_needed then
    local is_early = is_before_opening()
    local tokens = available_tokens()
    if mode == 'status' or mode == 'buy' and is_early then
        visitor = {state = 'none'}
    elseif is_early and lot == '' then
        lot_is_needed = true
    elseif not is_early and is_admitting() and tokens >= 1 and active_before < policy.threshold
        and redis.call('ZCARD', queue_key) == 0 then
        save_state('tokens', tokens - 1, 'tokens_at', now)
        admit({user_id}, now + policy.admission, 'direct')
        visitor = {state = 'active', admitted_until = now + policy.admission}
    elseif mode == 'buy' then
        visitor = {state = 'none'}
    else
        local score = tonumber(lot)
        if not is_early then
            score = math.max(now, tonumber(state.last_score or 0) + 1)
            save_state('last_score', score)
        end
        enqueue(score)
        count('joined', 1)
        visitor = {state = 'waiting', score = score}
    end
end
local fields = lot_is_needed and {lot_seed = policy.seed} or queue_state(visitor)
