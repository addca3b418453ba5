"""`python -m tests.search.table BASE`: the table of docs/search.md, from a service with the catalogue (`run.py load`)."""

import sys

from tests.search.found import everything, table

if __name__ == "__main__":
    print(table(everything(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")))
