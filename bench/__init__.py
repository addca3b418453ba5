"""`make bench`: what the service does per second, next to what PostgreSQL, Redis and an empty view do."""
