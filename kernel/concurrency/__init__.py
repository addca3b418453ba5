"""Concurrency: batching, a circuit breaker, thread offloading, background tasks, child processes."""
