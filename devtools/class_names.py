"""Finds class names that are defined more than once in production code; `make check` runs it.

One class name means one thing in the whole project, so that a search for it finds one class.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from devtools.retired_names import ROOT, tracked_files

OTHER_CODE = {"tests", "bench", "docs"}  # the first folder of code that is not in production
ALLOWED = {
    "Command": "Django runs the class of this name in a module of management commands",
    "Media": "Django reads the static files of an admin class from it",
    "Meta": "Django reads the options of a model or a form from it",
    "Migration": "Django runs the class of this name in a migration",
    "Status": "the states of the model that it belongs to, and read with its name: `Seat.Status`",
}


def find_repeated_names(paths: Iterable[Path]) -> Iterator[str]:
    """Yield `file:line: class name (also file:line)` for each class whose name an earlier file or line has."""
    defined = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in ALLOWED:
                defined[node.name].append(f"{path}:{node.lineno}")
    for name, (first, *others) in defined.items():
        yield from (f"{other}: class {name} (also {first})" for other in others)


def production_files() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.is_file() and path.relative_to(ROOT).parts[0] not in OTHER_CODE
    ]


def main() -> None:
    found = list(find_repeated_names(production_files()))
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
