-- Takes all of the locks, or none.
-- KEYS: the locks   ARGV: owner's token, life in ms
-- Result: 0 when all are taken, else the place (from 1) of the first one that somebody else holds.
for place, lock in ipairs(KEYS) do
    if redis.call('EXISTS', lock) == 1 then return place end
end
for _, lock in ipairs(KEYS) do
    redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])
end
return 0
