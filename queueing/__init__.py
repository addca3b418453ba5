"""The waiting room: who waits, who has been let in."""
