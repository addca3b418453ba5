-- Where many users are whose sockets are open, which is a sign of life of each. They neither join nor are let in.
-- ARGV 4: 'look', 5-11: '', then at most CHUNK users
-- Result: as of visit(), then for each user the position from 1; 0: has no place in line; -1: is inside
local found = visit()
if found[1] ~= 'none' then return found end
local standing, inside = {}, {}
for place = 12, #ARGV do
    local who = ARGV[place]
    local rank = redis.call('ZRANK', QUEUE, who)
    if rank then
        found[#found + 1] = rank + 1
        standing[#standing + 1], standing[#standing + 2] = now, who
    elseif redis.call('SISMEMBER', ACTIVE, who) == 1 then
        found[#found + 1] = -1
        inside[#inside + 1], inside[#inside + 2] = now, who
    else
        found[#found + 1] = 0
    end
end
if #standing > 0 then redis.call('ZADD', SEEN, 'XX', unpack(standing)) end
if #inside > 0 then redis.call('ZADD', SEEN_INSIDE, 'XX', unpack(inside)) end
return found
