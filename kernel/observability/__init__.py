"""Request context, logging and metrics."""
