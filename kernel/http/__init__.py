"""REST conventions: JSON, errors, middleware, authentication, permissions."""
