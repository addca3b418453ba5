"""Threads that work together: batching, circuit breaker, calls from asynchronous code."""
