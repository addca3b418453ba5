"""PostgreSQL: SQL in one round trip, prepared statements, effects after the commit."""
