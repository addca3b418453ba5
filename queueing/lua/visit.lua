-- Somebody is here: takes a place, keeps it alive, or is let in.
-- ARGV 4: 'check' (joins), 'status' (looks), 'enter' (wants to buy: never joins), 'look' (nobody in particular)
--      5-7: a pass of this user: epoch, issued, until. 8-10: a ticket: epoch, issued, place. 11: the user's lot. '' if none
-- Result: {state, position, size, inside before, inside, until, place, epoch, now, last tick, outflow of the last minute,
--          length of that minute, draw held, rebuilding}, then the policy: {threshold, paused, opens, sale from, sale to, rate}, and
--         1 if a tick is to be asked for
--         state: 'off', 'closed', 'active', 'waiting', 'none'; or {'needs lot', seed}: call again with ARGV 11
local function visit()
    local mode = ARGV[4]
    put_out_due(100)
    local before, position, place, until_ = redis.call('SCARD', ACTIVE), 0, 0, 0

    local function found(what)
        local size = redis.call('ZCARD', QUEUE)
        -- No tick has come by lately: the caller is to ask for one, but not everybody at once.
        local asks = 0
        if (what == 'waiting' or what == 'active') and now - tonumber(state.ticked or 0) > 5000000
            and now - tonumber(state.asked or 0) > 1000000 then
            remember('asked', now)
            asks = 1
        end
        if what == 'waiting' then position = redis.call('ZRANK', QUEUE, user) + 1 end
        return {
            what, position, size, before, redis.call('SCARD', ACTIVE), until_, place, epoch, now,
            tonumber(state.ticked or 0), tonumber(state.outflow or 0), tonumber(state.outflow_us or 0),
            state.drawn and 1 or 0, tonumber(state.rebuild or 0) > now and 1 or 0,
            policy.threshold, policy.paused == '1' and 1 or 0, policy.opens, policy.sale_from, policy.sale_to,
            tostring(policy.rate), asks,
        }
    end

    -- Nobody looks after an event without a crowd: its policy may have changed behind our back.
    if is_policy_old() and (policy.closed == '1' or redis.call('EXISTS', QUEUE, ACTIVE) == 0) then
        return {'no policy'}
    end
    if policy.is_on ~= '1' then return found('off') end
    if policy.closed == '1' then return found('closed') end
    if mode == 'look' then return found('none') end

    if redis.call('SISMEMBER', ACTIVE, user) == 1 then
        until_ = tonumber(redis.call('ZSCORE', UNTIL, user) or 0)
        local seen = tonumber(redis.call('ZSCORE', SEEN_INSIDE, user) or now)
        if until_ == 0 then -- known to the set only: given a time from now on
            until_ = now + policy.admission
            redis.call('ZADD', UNTIL, until_, user)
        end
        if until_ > now and seen > now - policy.idle_inside then
            redis.call('ZADD', SEEN_INSIDE, now, user)
            return found('active')
        end
        put_out({user}, until_ > now and 'idle' or 'ran_out')
        until_ = 0
    end

    local function waiting()
        redis.call('ZADD', SEEN, now, user)
        return found('waiting')
    end
    local stands_at = redis.call('ZSCORE', QUEUE, user)
    if stands_at then
        place = tonumber(stands_at)
        return waiting()
    end

    -- Dropped, and back within the grace time: the old place.
    local kept = redis.call('HGET', KEPT, user)
    if kept then
        local kept_until = tonumber(redis.call('ZSCORE', KEPT_UNTIL, user) or 0)
        redis.call('HDEL', KEPT, user)
        redis.call('ZREM', KEPT_UNTIL, user)
        if kept_until > now then
            place = tonumber(kept)
            stand(place)
            count('returned', 1)
            return waiting()
        end
    end

    -- Redis has lost everything since the proof was given: what it proves is given back, once. `issued` may be later than
    -- the epoch, if the clock was set back by the loss.
    local function was_lost(proof_epoch, issued)
        return proof_epoch and proof_epoch ~= epoch and issued > policy.cleared and issued > tonumber(state.cleared or 0)
            and redis.call('SISMEMBER', REDEEMED, user) == 0
    end
    local function redeem()
        rebuild()
        redis.call('SADD', REDEEMED, user)
        redis.call('EXPIRE', REDEEMED, 86400) -- no admission lasts longer, see models.py
    end
    local proof_epoch, issued, till = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
    if was_lost(proof_epoch, issued) and till > now then
        redeem()
        if redis.call('SCARD', ACTIVE) < policy.threshold then
            until_ = till
            let_in({user}, until_, 'restored')
            return found('active')
        end
        place = policy.seed == '' and proof_epoch or 0 -- before all who stood in that line, also those who were drawn
        stand(place)
        return found('waiting')
    end
    proof_epoch, issued = tonumber(ARGV[8]), tonumber(ARGV[9])
    local patience = policy.idle + policy.grace
    if was_lost(proof_epoch, issued) and issued > epoch - patience and now < epoch + patience then
        local stood_at = tonumber(ARGV[10]) or tonumber(ARGV[11])
        if not stood_at and policy.seed ~= '' then return {'needs lot', policy.seed} end
        if stood_at then
            redeem()
            place = stood_at
            if place >= LOTS then remember('last', math.max(place, tonumber(state.last or 0))) end
            stand(place)
            count('returned', 1)
            return found('waiting')
        end
    end

    if mode == 'status' then return found('none') end
    if is_before_opening() then
        if mode == 'enter' then return found('none') end
        place = tonumber(ARGV[11])
        if not place then return {'needs lot', policy.seed} end
        stand(place)
        count('joined', 1)
        return found('waiting')
    end
    local left = tokens()
    if is_open() and left >= 1 and before < policy.threshold and redis.call('ZCARD', QUEUE) == 0 then
        remember('tokens', left - 1, 'tokens_at', now)
        until_ = now + policy.admission
        let_in({user}, until_, 'directly')
        return found('active')
    end
    if mode == 'enter' then return found('none') end
    place = math.max(now, tonumber(state.last or 0) + 1)
    remember('last', place)
    stand(place)
    count('joined', 1)
    return found('waiting')
end
