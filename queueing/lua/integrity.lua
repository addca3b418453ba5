-- Whether the sets of one event agree, except the queue with its signs of life: see scan_difference.lua. Reads only.
-- KEYS: queue_key, queue_seen_key, grace_key, grace_until_key, active_key, active_until_key, active_seen_key: see prelude.lua
-- ARGV: max_duration_us  the longest that an admission or a grace time may last
--       clock_slack_us   by how much a clock may have been set back
--       limit            at most so many findings of each check
-- Result: findings  list of check, user, moment ('' if it is not about one), in turn
local FIRST_MOMENT = 1125899906842624 -- as in prelude.lua: moments are above, lots below
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local latest_seen, latest_end = now + clock_slack_us, now + max_duration_us + clock_slack_us
local findings = {}

local function report(check, user, moment)
    findings[#findings + 1], findings[#findings + 2], findings[#findings + 3] = check, user, moment
end

local function report_users(check, users)
    for number = 1, math.min(#users, tonumber(limit)) do report(check, users[number], '') end
end

local function report_scores_outside(key, least, most)
    for _, range in ipairs({{'-inf', string.format('(%.0f', least)}, {string.format('(%.0f', most), '+inf'}}) do
        local flat = redis.call('ZRANGEBYSCORE', key, range[1], range[2], 'WITHSCORES', 'LIMIT', 0, limit)
        for index = 1, #flat, 2 do report('impossible_moment', flat[index], flat[index + 1]) end
    end
end

report_users('waiting_and_active', redis.call('ZINTER', 2, queue_key, active_key))
report_users('active_without_end', redis.call('ZDIFF', 2, active_key, active_until_key))
report_users('end_without_active', redis.call('ZDIFF', 2, active_until_key, active_key))
report_users('active_without_seen', redis.call('ZDIFF', 2, active_key, active_seen_key))
report_users('seen_without_active', redis.call('ZDIFF', 2, active_seen_key, active_key))
report_users('waiting_and_in_grace', redis.call('ZINTER', 2, queue_key, grace_until_key))

local incomplete, in_grace = {}, {}
for _, user in ipairs(redis.call('HKEYS', grace_key)) do in_grace[user] = true end
for _, user in ipairs(redis.call('ZRANGE', grace_until_key, 0, -1)) do
    if in_grace[user] then in_grace[user] = nil else incomplete[#incomplete + 1] = user end
end
for user in pairs(in_grace) do incomplete[#incomplete + 1] = user end
report_users('grace_incomplete', incomplete)

report_scores_outside(queue_key, 0, latest_seen)
report_scores_outside(queue_seen_key, FIRST_MOMENT, latest_seen)
report_scores_outside(active_seen_key, FIRST_MOMENT, latest_seen)
report_scores_outside(active_until_key, FIRST_MOMENT, latest_end)
report_scores_outside(grace_until_key, FIRST_MOMENT, latest_end)
return result({findings = findings})
