"""A library for all apps: it has no models, knows no domain word, and imports no app."""
