"""One-time import of the old service's data. See docs/legacy-import.md."""
