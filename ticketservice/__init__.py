"""The composition root: settings, URLs, processes. It imports every app, and no app imports it."""
