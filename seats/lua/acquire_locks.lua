-- Acquires all of the locks, or none.
-- KEYS    locks*: each is free or held; rejections*: cached rejections of the seats
-- ARGV    token: the owner's; life_ms: a lock expires after that
-- Result  held: the index (from 1) of the first lock that somebody holds; rejected: the label of the first seat with a cached
--         rejection; neither when all locks are acquired
for index, lock in ipairs(locks) do
    if redis.call('EXISTS', lock) == 1 then return result({held = index}) end
end
for _, rejection in ipairs(rejections) do
    local label = redis.call('GET', rejection)
    if label then return result({rejected = label}) end
end
for _, lock in ipairs(locks) do redis.call('SET', lock, token, 'PX', life_ms) end
return result({})
