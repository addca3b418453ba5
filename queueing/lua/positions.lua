-- The positions of many users, and a sign of life of each: they have an open connection. Nobody joins or is admitted.
-- Parts before it: prelude.lua, queue_state.lua.
-- ARGV: users  list of at most CHUNK user ids
-- Result: the fields of queue_state(), and
--         positions  for each user the position from 1; 0 for a user who does not wait, -1 for one who is active. Empty if
--                    the waiting room is off or closed
local fields = queue_state({state = common_state})
fields.positions = {}
if fields.state ~= 'none' then return result(fields) end
local waiting, active = {}, {}
for number, user in ipairs(users) do
    local rank = redis.call('ZRANK', queue_key, user)
    if rank then
        fields.positions[number] = rank + 1
        waiting[#waiting + 1], waiting[#waiting + 2] = now, user
    elseif redis.call('SISMEMBER', active_key, user) == 1 then
        fields.positions[number] = -1
        active[#active + 1], active[#active + 2] = now, user
    else
        fields.positions[number] = 0
    end
end
if #waiting > 0 then redis.call('ZADD', queue_seen_key, 'XX', unpack(waiting)) end
if #active > 0 then redis.call('ZADD', active_seen_key, 'XX', unpack(active)) end
return result(fields)
