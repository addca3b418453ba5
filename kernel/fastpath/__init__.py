"""Responses in front of Django's handler: the fast path, the response cache, and what both of them support."""
