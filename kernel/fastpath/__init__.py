"""Hot API calls without Django's handler, and the in-process response cache."""
