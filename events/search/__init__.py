"""What a search compares: texts folded to one spelling, as keystrokes, as initials and as sounds. Knows no database.

docs/search.md describes the whole.
"""
