"""The composition root: settings, urls, processes. Knows everybody; nobody imports it."""
