-- Included by the scripts that publish: leaves out changes that are older than one that was published.
-- Two processes may arrive here in another order than they committed in. Changes are numbered by PostgreSQL.
local PUBLISHED_MS = 10000 -- longer than a process takes from its commit to here
-- published: a key for each change, with the number of the last published change of the same seat, ticket type or event
-- Returns the messages that are to be published.
local function deduplicate(published, numbers, messages)
    local fresh = {}
    for index, key in ipairs(published) do
        local number = tonumber(numbers[index])
        if number > tonumber(redis.call('GET', key) or 0) then
            redis.call('SET', key, string.format('%.0f', number), 'PX', PUBLISHED_MS)
            fresh[#fresh + 1] = messages[index]
        end
    end
    return fresh
end
