-- Who stands in one sorted set, but not in the other? A part at a time, so that a long line does not hold Redis up; each part
-- is looked at in both sets at once. Reads only.
-- KEYS: the two sets; ARGV 1: after this score, 2: at most so many
-- Result: the score to go on after ('' at the end), then who is missing in the second set
local part = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
if #part == 0 then return {''} end
local users = {}
for number = 1, #part, 2 do users[#users + 1] = part[number] end
local found = {#users < tonumber(ARGV[2]) and '' or '(' .. part[#part]}
for number, score in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(users))) do
    if not score then found[#found + 1] = users[number] end
end
return found
