-- Releases the locks that are still their owner's, and caches that seats were rejected.
-- KEYS    locks*; rejections*: one for each seat that PostgreSQL has rejected
-- ARGV    token: the owner's; life_ms: of a rejection; labels*: of the rejected seats
-- Result  1 if all locks were still the owner's, else 0
local owned = 1
for _, lock in ipairs(locks) do
    if redis.call('GET', lock) == token then redis.call('DEL', lock) else owned = 0 end
end
-- A lock that is gone has expired, or its seat was released meanwhile (release_and_publish.lua): the rejection is outdated.
if owned == 1 then
    for index, rejection in ipairs(rejections) do redis.call('SET', rejection, labels[index], 'PX', life_ms) end
end
return owned
