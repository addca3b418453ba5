"""Why a move does not begin, or stops. For operators, not for the API."""


class CanNotMove(Exception):
    """Nothing was written, or what was written so far can be continued; the message says which, and what to do."""
