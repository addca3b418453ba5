"""A buyer's claim on seats and tickets, from pending to paid or given back."""
