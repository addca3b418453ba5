-- What all scripts of the waiting room begin with: its keys, its clock, its policy, and who is put where.
-- KEYS 1-14, see `_keys` in waiting_room.py. ARGV 1: user id, or ''; 2: the epoch in which the caller saw a crowd, or '';
-- 3: how long, in us, nobody is let in after Redis has lost a crowd.
-- Moments are Redis' own, in us. A place is the moment of joining, and never the same twice; below LOTS it is a lot.
-- Result of every script, if nobody has told Redis the event's policy yet: {'no policy'}.
local QUEUE, SEEN, KEPT, KEPT_UNTIL, ACTIVE, UNTIL, SEEN_INSIDE = unpack(KEYS, 1, 7)
local STATE, POLICY, STATS, FLOW, PROBES, DRAWN, REDEEMED = unpack(KEYS, 8, 14)
local LOTS = 1125899906842624 -- 2^50: lots are below, moments since 2005 are above
local CHUNK = 1000 -- of unpack(), which has a limit of some thousands

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local user = ARGV[1]

local function hash(key)
    local flat, found = redis.call('HGETALL', key), {}
    for place = 1, #flat, 2 do found[flat[place]] = flat[place + 1] end
    return found
end

local policy = hash(POLICY)
if not policy.is_on then return {'no policy'} end
for _, name in ipairs({'threshold', 'rate', 'burst', 'admission', 'idle', 'grace', 'idle_inside', 'opens', 'cleared',
                       'sale_from', 'sale_to'}) do
    policy[name] = tonumber(policy[name])
    if not policy[name] then return {'no policy'} end
end

local state = hash(STATE)
local function remember(...)
    redis.call('HSET', STATE, ...)
    local pairs_ = {...}
    for place = 1, #pairs_, 2 do state[pairs_[place]] = pairs_[place + 1] end
end

-- An epoch begins when Redis has lost everything. The line comes back with those who come back: for a while nobody is let
-- in, so that nobody is passed over. Once, and not after so long that all of them would have been forgotten.
if not state.epoch then remember('epoch', now, 'tokens', math.max(policy.burst, policy.rate), 'tokens_at', now) end
local epoch = tonumber(state.epoch)
local function rebuild()
    if state.rebuild or state.cleared or now - epoch >= policy.idle + policy.grace then return end
    remember('rebuild', now + tonumber(ARGV[3]), 'tokens', 0, 'tokens_at', now)
end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= epoch then rebuild() end
-- Moments later than they can be: the clock was set back, and nobody is to wait until it has caught up.
if tonumber(state.tokens_at or 0) > now then remember('tokens_at', now) end
if tonumber(state.rebuild or 0) > now + tonumber(ARGV[3]) then remember('rebuild', now + tonumber(ARGV[3])) end
local function is_policy_old()
    local fresh = tonumber(policy.fresh or 0)
    return now > fresh or fresh > now + 60000000 -- no fresher than put_policy.lua says
end

local function count(what, times) redis.call('HINCRBY', STATS, what, times) end

local function put_out(users, cause)
    if #users == 0 then return end
    redis.call('SREM', ACTIVE, unpack(users))
    redis.call('ZREM', UNTIL, unpack(users))
    redis.call('ZREM', SEEN_INSIDE, unpack(users))
    count('out:' .. cause, #users)
end

-- Whose admission has run out, or who has not been heard of. Returns how many, at most twice `most`.
local function put_out_due(most)
    local over = redis.call('ZRANGEBYSCORE', UNTIL, '-inf', now, 'LIMIT', 0, most)
    put_out(over, 'ran_out')
    local idle = redis.call('ZRANGEBYSCORE', SEEN_INSIDE, '-inf', now - policy.idle_inside, 'LIMIT', 0, most)
    put_out(idle, 'idle')
    return #over + #idle
end

-- At most CHUNK users.
local function let_in(users, until_, way)
    local till, seen = {}, {}
    for place, who in ipairs(users) do
        till[2 * place - 1], till[2 * place] = until_, who
        seen[2 * place - 1], seen[2 * place] = now, who
    end
    redis.call('SADD', ACTIVE, unpack(users))
    redis.call('ZADD', UNTIL, unpack(till))
    redis.call('ZADD', SEEN_INSIDE, unpack(seen))
    count('in:' .. way, #users)
end

local function stand(place)
    redis.call('ZADD', QUEUE, place, user)
    redis.call('ZADD', SEEN, now, user)
end

-- Admissions that may be made now: a bucket that fills at the policy's rate. However the clock is set, it holds no more
-- than a burst.
local function tokens()
    local most = math.max(policy.burst, policy.rate)
    local had = tonumber(state.tokens or most)
    return math.min(most, had + (now - tonumber(state.tokens_at or now)) * policy.rate / 1000000)
end

local function is_before_opening() -- once drawn it stays open, also when the clock is set back
    return policy.opens > now and tonumber(state.drawn or 0) ~= policy.opens
end

local function is_open()
    return policy.paused ~= '1' and policy.closed ~= '1' and not is_before_opening() and tonumber(state.rebuild or 0) <= now
end
