"""The admin's site, its actions and its look."""
