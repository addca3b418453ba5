-- The part after prelude.lua of the scripts that return the state of the queue: look.lua, positions.lua, check_in.lua.
--
-- queue_state(visitor) makes the fields of their result (see QueueState in states.py), all but the last one:
--   state           of the visitor: 'off', 'closed', 'active', 'waiting', 'none'
--   position        in the queue, from 1; 0 for a user who does not wait
--   score           of the user in the queue, 0 for a user who does not wait
--   admitted_until  when the admission ends; 0 for a user who is not active
--   size            how many wait
--   active_before   how many were active before this call
--   active          how many are active now
--   epoch, now, last_round, outflow, outflow_us, is_drawn, is_rebuilding
--   threshold, is_paused, opens, sale_from, sale_to, rate: from the policy; rate is text, since Lua's replies are integers
--   needs_activation  1 if the caller is to activate the event, since it was not visited by an admission round lately
--   lot_seed          set only by check_in.lua: the seed from which the caller is to compute the user's lot before it calls again
end_due_admissions(100)
local active_before = redis.call('SCARD', active_key)

local function queue_state(visitor)
    local needs_activation = 0
    if (visitor.state == 'waiting' or visitor.state == 'active') and now - tonumber(state.round_at or 0) > 5000000
        and now - tonumber(state.activation_asked_at or 0) > 1000000 then -- one caller a second is enough
        save_state('activation_asked_at', now)
        needs_activation = 1
    end
    return {
        state = visitor.state,
        position = visitor.state == 'waiting' and redis.call('ZRANK', queue_key, user_id) + 1 or 0,
        score = visitor.score or 0,
        admitted_until = visitor.admitted_until or 0,
        size = redis.call('ZCARD', queue_key),
        active_before = active_before,
        active = redis.call('SCARD', active_key),
        epoch = epoch,
        now = now,
        last_round = tonumber(state.round_at or 0),
        outflow = tonumber(state.outflow or 0),
        outflow_us = tonumber(state.outflow_us or 0),
        is_drawn = state.drawn_opening and 1 or 0,
        is_rebuilding = is_rebuilding() and 1 or 0,
        threshold = policy.threshold,
        is_paused = policy.paused == '1' and 1 or 0,
        opens = policy.opens,
        sale_from = policy.sale_from,
        sale_to = policy.sale_to,
        rate = tostring(policy.rate),
        needs_activation = needs_activation,
    }
end

-- No admission round visits an event that nobody waits for: its policy may have changed behind our back.
if is_policy_stale and (policy.closed == '1' or redis.call('EXISTS', queue_key, active_key) == 0) then
    return POLICY_UNKNOWN
end

-- What is true of every visitor alike: 'off', 'closed' or 'none'.
local common_state = policy.is_on ~= '1' and 'off' or policy.closed == '1' and 'closed' or 'none'
