-- Do the sets of one event agree, but for who is in line and when they were heard of: see audit_line.lua. Reads only.
-- KEYS as in room.lua; ARGV 1: the longest that an admission or a kept place may last, 2: by how much a clock may have been
-- set back, both in us; 3: at most so many of each check
-- Result: check, user, moment ('' if it is not about one) of each that does not agree
local QUEUE, SEEN, KEPT, KEPT_UNTIL, ACTIVE, UNTIL, SEEN_INSIDE = unpack(KEYS, 1, 7)
local LONGEST, SLACK, MOST = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local EARLIEST = 1125899906842624 -- as in room.lua: moments are above, lots below
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = {}

local function note(check, users)
    for number = 1, math.min(#users, MOST) do
        found[#found + 1], found[#found + 2], found[#found + 3] = check, users[number], ''
    end
end

-- Scores of `key` that are below `least` or above `most`.
local function note_outside(check, key, least, most)
    for _, range in ipairs({{'-inf', string.format('(%.0f', least)}, {string.format('(%.0f', most), '+inf'}}) do
        local flat = redis.call('ZRANGEBYSCORE', key, range[1], range[2], 'WITHSCORES', 'LIMIT', 0, MOST)
        for number = 1, #flat, 2 do
            found[#found + 1], found[#found + 2], found[#found + 3] = check, flat[number], flat[number + 1]
        end
    end
end

note('in_line_and_inside', redis.call('ZINTER', 2, QUEUE, ACTIVE))
note('inside_without_end', redis.call('ZDIFF', 2, ACTIVE, UNTIL))
note('end_not_inside', redis.call('ZDIFF', 2, UNTIL, ACTIVE))
note('inside_unseen', redis.call('ZDIFF', 2, ACTIVE, SEEN_INSIDE))
note('seen_not_inside', redis.call('ZDIFF', 2, SEEN_INSIDE, ACTIVE))
note('kept_and_in_line', redis.call('ZINTER', 2, QUEUE, KEPT_UNTIL))

local lone, kept = {}, {}
for _, who in ipairs(redis.call('HKEYS', KEPT)) do kept[who] = true end
for _, who in ipairs(redis.call('ZRANGE', KEPT_UNTIL, 0, -1)) do
    if kept[who] then kept[who] = nil else lone[#lone + 1] = who end
end
for who in pairs(kept) do lone[#lone + 1] = who end
note('kept_without_end', lone)

note_outside('impossible_moment', QUEUE, 0, now + SLACK)
note_outside('impossible_moment', SEEN, EARLIEST, now + SLACK)
note_outside('impossible_moment', SEEN_INSIDE, EARLIEST, now + SLACK)
note_outside('impossible_moment', UNTIL, EARLIEST, now + LONGEST + SLACK)
note_outside('impossible_moment', KEPT_UNTIL, EARLIEST, now + LONGEST + SLACK)
return found
