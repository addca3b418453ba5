"""Messages to other services: the outbox, webhooks, and the feed. See docs/webhooks.md."""
