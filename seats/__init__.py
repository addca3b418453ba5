"""The seat map, and the reservations that turn seats and tickets into a purchase."""
