"""Contacts: how a buyer is written to, as the Auth Service verified it. Apart from reservations. See docs/mail.md."""
