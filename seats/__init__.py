"""Seats, the seat map and its versions, seat locks, live updates, and the status of events."""
