-- The members of one sorted set that another one does not have, a page at a time, so that a long queue does not block Redis;
-- each page is compared within one call. Reads only.
-- KEYS: first_key, second_key
-- ARGV: after  the score after which the page begins, as ZRANGEBYSCORE takes it ('-inf' for the first page)
--       limit  the size of a page
-- Result: cursor   `after` of the next page; '' at the end
--         missing  list of the members of the first set that are not in the second
local page = redis.call('ZRANGEBYSCORE', first_key, after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
if #page == 0 then return result({cursor = '', missing = {}}) end
local members, missing = {}, {}
for index = 1, #page, 2 do members[#members + 1] = page[index] end
for number, score in ipairs(redis.call('ZMSCORE', second_key, unpack(members))) do
    if not score then missing[#missing + 1] = members[number] end
end
return result({cursor = #members < tonumber(limit) and '' or '(' .. page[#page], missing = missing})
