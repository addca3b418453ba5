"""What can be done with events: layouts become sections and plans, views and sales are counted."""
