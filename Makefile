# Needs Python 3.11, make, gcc and git; everything else comes from requirements-dev.txt, which `make lock` makes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RANDOM_SECRET = $(shell head -c 48 /dev/urandom | base64)

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

run: .venv/installed ## start the whole service on this machine, on port $PORT (8000)
	@exec $(BIN)/python manage.py run

demo-crowd: .venv/installed ## send simulated buyers to a demo event of `make run`; CROWD=--reset gives back what they bought, CROWD=--help tells more
	@exec $(BIN)/python manage.py demo_crowd $(CROWD)

TEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
test-fast: .venv/installed ## run the tests that start no processes and do not wait, for the edit loop
	$(TEST) -m 'not slow and not long'

test: .venv/installed ## run the tests, on a PostgreSQL and a Redis of their own
	$(TEST) -m 'not long'

test-long: .venv/installed ## run the tests that take long: crowds, faults and attacks on all processes, the largest layouts
	$(TEST) -m long

coverage: .venv/installed ## run the tests, and measure which lines they run, in all processes
	@rm -rf .local/coverage && mkdir -p .local/coverage
	$(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: .venv/installed ## measure throughput beside its limits; BENCH="--quick" takes a minute, BENCH=--help tells more
	@$(BIN)/python -m bench $(BENCH)

bench-live: .venv/installed ## measure what a delivery to open sockets costs, beside its limits; BENCH="--quick" takes two minutes
	@$(BIN)/python -m bench.live $(BENCH)

bench-growth: .venv/installed ## measure how costs grow with seats, events and people in line
	@$(BIN)/python -m bench.growth

bench-seat-map: .venv/installed ## measure how fast the seat map draws, in Chromium as on a slow phone
	@$(BIN)/python -m bench.browser $(BENCH)

# Settings as in production, so that `check --deploy` judges those. There is no database behind them: what
# makemigrations says about that is shown only when it fails.
check: export DATABASE_URL := postgresql://ticketservice@127.0.0.1:1/ticketservice
check: export REDIS_URL := redis://127.0.0.1:1/0
check: export DEBUG := false
check: export ALLOWED_HOSTS := example.org
check: export SECRET_KEY = $(RANDOM_SECRET)
check: export JWT_SECRET = $(RANDOM_SECRET)
check: export INTERNAL_API_TOKEN = $(RANDOM_SECRET)
check: .venv/installed ## formatting, lint, types, import rules, names, migrations, deployment settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m devtools.retired_names
	$(BIN)/python -m devtools.class_names
	@echo $(BIN)/python manage.py makemigrations --check --dry-run
	@said=$$($(BIN)/python manage.py makemigrations --check --dry-run 2>&1) || { echo "$$said"; exit 1; }
	$(BIN)/python manage.py check --deploy --fail-level WARNING

messages: .venv/installed ## after a text of the admin has changed: extract the catalogues of locale/, and compile them
	@command -v msgfmt xgettext > /dev/null || { echo 'On Debian: apt-get install gettext' >&2; exit 1; }
	$(BIN)/python manage.py makemessages --locale ko --locale en --no-location --no-wrap --no-obsolete \
	    --ignore '.venv/*' --ignore 'tests/*' --ignore 'docs/*' --ignore 'staticfiles/*' --ignore 'kernel/backoffice/locale'
	$(BIN)/python manage.py compilemessages --ignore '.venv/*'

# Pins of packages that requirements*.in do not name stay as they are; LOCK=--upgrade renews them.
LOCK :=
COMPILE := uv pip compile --quiet --python-version 3.11 --generate-hashes
lock: .venv/installed ## after a change of requirements*.in: pin all they need in requirements*.txt, with hashes
	PATH=$(BIN):$$PATH $(COMPILE) --output-file requirements.txt requirements.in $(LOCK)
	PATH=$(BIN):$$PATH $(COMPILE) --output-file requirements-dev.txt requirements-dev.in $(LOCK)

screenshots: .venv/installed ## take the pictures of docs/admin.md and of the shop with Chromium
	$(BIN)/python docs/screenshots.py
	$(BIN)/python -m docs.shop_pictures

clean: ## stop the development servers; delete their data and the virtual environment
	-@for directory in .local .local/test .local/test-gw* .local/bench; do \
	    test ! -e $$directory/ports.json || LOCAL_DIR=$$directory $(BIN)/python manage.py embedded --stop; \
	done
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis staticfiles

.venv/installed: requirements-dev.txt
	@echo 'Installing into .venv (a minute, the first time) ...'
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 is missing.' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

.PHONY: help run test test-fast test-long coverage check lock messages screenshots clean bench bench-live bench-growth demo-crowd bench-seat-map
