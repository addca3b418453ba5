"""The admin site: permissions, actions on objects, history and look."""
