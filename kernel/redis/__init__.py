"""Redis: client, connection, scripts, deferred commands, read-through caches."""
