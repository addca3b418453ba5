"""Mail to buyers: what of the outbox concerns them, sent once. See docs/mail.md."""
