"""`make check` refuses a class name that is defined twice in production code."""

from pathlib import Path

import pytest

from devtools.class_names import ALLOWED, ROOT, find_repeated_names, production_files

NESTED = """
class Seat(Model):
    class Meta: ...
    class Price: ...
"""


def written(folder: Path, **sources: str) -> list[Path]:
    paths = {folder / f"{name}.py": source for name, source in sources.items()}
    for path, source in paths.items():
        path.write_text(source)
    return list(paths)


def test_a_name_that_is_defined_twice_is_found_with_both_places(tmp_path: Path) -> None:
    models, shapes = written(tmp_path, models="class Policy: ...", shapes="\nclass Policy(Serializer): ...")
    assert list(find_repeated_names([models, shapes])) == [f"{shapes}:2: class Policy (also {models}:1)"]


def test_a_class_within_a_class_or_a_function_counts(tmp_path: Path) -> None:
    inner = "def make():\n    class Price: ...\n    return Price"
    first, second = written(tmp_path, first=NESTED, second=inner)
    assert list(find_repeated_names([first, second])) == [f"{second}:2: class Price (also {first}:4)"]


@pytest.mark.parametrize("name", ALLOWED)
def test_an_allowed_name_may_be_repeated(tmp_path: Path, name: str) -> None:
    assert list(find_repeated_names(written(tmp_path, one=f"class {name}: ...", two=f"class {name}: ..."))) == []


def test_different_names_and_mentions_are_not_found(tmp_path: Path) -> None:
    mentions = "from models import Seat\nPrice = Seat.Price\n# class Seat: ..."
    assert list(find_repeated_names(written(tmp_path, models=NESTED, views=mentions))) == []


def test_production_code_is_searched_and_tests_are_not() -> None:
    names = {str(path.relative_to(ROOT)) for path in production_files()}
    assert {"queueing/models.py", "queueing/openapi.py", "kernel/redis/scripts.py", "manage.py"} <= names
    assert not any(name.startswith(("tests/", "bench/", "docs/")) for name in names)


def test_production_code_has_no_repeated_name() -> None:
    assert list(find_repeated_names(production_files())) == []
