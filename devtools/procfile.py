"""Reads the Procfile: the command lines of the processes, as production runs them."""

from pathlib import Path


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands by process name. They are for a shell: `${PORT:-8000}` is not expanded."""
    entries = (line.partition(":") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in entries if command}
