"""Django's database backend for PostgreSQL, with a guarded pool and pinned sessions. This is the ENGINE."""
