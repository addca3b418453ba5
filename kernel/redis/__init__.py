"""Redis: client, connection, scripts, deferred commands, read-through cache."""
