-- The state of the queue, for nobody in particular. Parts before it: prelude.lua, queue_state.lua.
-- Result: the fields of queue_state()
return result(queue_state({state = common_state}))
