"""The error of an import. It is for operators and never reaches the API."""


class LegacyImportError(Exception):
    """An import that cannot start or continue.

    Either nothing was written, or what was written can be continued; the message says which, and what to do.
    """
