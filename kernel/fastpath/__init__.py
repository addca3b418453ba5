"""Answers in front of Django: what `kernel.fastpath.handler` and `kernel.fastpath.response_cache` honour."""
