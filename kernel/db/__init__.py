"""PostgreSQL: SQL in one round trip, prepared statements, effects that wait for the commit."""
