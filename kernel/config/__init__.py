"""Reading the environment."""
