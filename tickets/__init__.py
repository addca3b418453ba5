"""Ticket types and their live stock."""
