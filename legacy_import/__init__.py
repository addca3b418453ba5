"""The old service's data comes into this database, once. See docs/moving-in.md."""
