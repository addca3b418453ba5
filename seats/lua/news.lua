-- Of changes, those that are news: a place of which a later change was told already is left out. Who commits first may
-- come here second.
-- From KEYS[key] on: what was told last of each place. From ARGV[arg] on: number and message (JSON) of each change.
-- Result: the messages
local TOLD_MS = 10000 -- longer than a process takes from its commit to here
local function news(key, arg)
    local messages = {}
    for place = 0, (#ARGV - arg + 1) / 2 - 1 do
        local told, number = KEYS[key + place], tonumber(ARGV[arg + 2 * place])
        if number > tonumber(redis.call('GET', told) or 0) then
            redis.call('SET', told, string.format('%.0f', number), 'PX', TOLD_MS)
            messages[#messages + 1] = ARGV[arg + 2 * place + 1]
        end
    end
    return messages
end
