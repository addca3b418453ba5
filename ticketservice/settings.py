"""Settings, read from the environment once. Every variable is described in `.env.example`.

A setting that is missing or malformed raises ImproperlyConfigured here. Ranges and relations between settings are system
checks (`kernel.checks`, and `checks.py` of the apps).
"""

import sys
import tomllib
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from kernel.config.environment import Environment
from kernel.config.rates import Rate
from kernel.observability.logging import JSON
from kernel.observability.multiprocess import default_directory

env = Environment()

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
DEBUG: bool = env.bool("DEBUG", default=False)

# --- Secrets ---------------------------------------------------------------------------------------------------------
DEVELOPMENT_SECRET_KEY = "development-only-secret-key"  # noqa: S105 - rejected unless DEBUG
SECRET_KEY: str = env.str("SECRET_KEY", default=DEVELOPMENT_SECRET_KEY)
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
AUTH_SERVICE_URL: str = env.address("AUTH_SERVICE_URL", "https", "http", default="").rstrip("/")
JWT_SECRET: str = env.str("JWT_SECRET", default="")
JWT_PUBLIC_KEY: str = env.public_key("JWT_PUBLIC_KEY")
# For clocks of issuers that are ahead of ours, in seconds: `iat` and `nbf` may be so much in the future.
TOKEN_LEEWAY_SECONDS: int = env.int("TOKEN_LEEWAY_SECONDS", default=5)
INTERNAL_API_TOKEN: str = env.str("INTERNAL_API_TOKEN", default="")
# Tokens of other services that may do only what their scopes say: see docs/webhooks.md.
SERVICE_TOKENS = env.service_tokens("SERVICE_TOKENS", scopes=("confirm", "refund", "read-events", "entry"))

_DEFAULT_SECRETS = {DEVELOPMENT_SECRET_KEY, "secret", "changeme", "change-me", "your-secret-key", "your-jwt-secret"}
if not DEBUG and SECRET_KEY in _DEFAULT_SECRETS:
    raise ImproperlyConfigured("SECRET_KEY is not set, or is a default. Set it to 50 or more random characters.")
if not DEBUG and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured("SECRET_KEY is too short, or too simple. Set it to 50 or more random characters.")
if not DEBUG and JWT_SECRET in _DEFAULT_SECRETS:
    raise ImproperlyConfigured(
        "JWT_SECRET is a default. Set it to the secret that the issuer of the tokens signs with."
    )
if not DEBUG and INTERNAL_API_TOKEN in _DEFAULT_SECRETS:
    raise ImproperlyConfigured("INTERNAL_API_TOKEN is a default. Set it to a long random string.")
if not (AUTH_SERVICE_URL or JWT_SECRET or JWT_PUBLIC_KEY):
    raise ImproperlyConfigured(
        "Tokens cannot be verified. Set AUTH_SERVICE_URL, JWT_SECRET (HS256) or JWT_PUBLIC_KEY (RS256)."
    )

# --- Hosts -----------------------------------------------------------------------------------------------------------
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["*"] if DEBUG else ["localhost", "127.0.0.1", "[::1]"])
# Reads are open to any origin. Origins listed here may also send tokens and write.
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ORIGINS", default=[])
CORS_ALLOW_ALL_ORIGINS = not CORS_ALLOWED_ORIGINS
_READS, _WRITES = ("GET", "HEAD", "OPTIONS"), ("POST", "PATCH")
CORS_ALLOW_METHODS = (*_READS, *_WRITES) if DEBUG or CORS_ALLOWED_ORIGINS else _READS
CORS_ALLOW_HEADERS = (
    "accept",
    "authorization",
    "challenge-response",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "queue-pass",
    "queue-ticket",
)
CORS_EXPOSE_HEADERS = (
    "etag",
    "ratelimit",
    "ratelimit-policy",
    "reservations-limit",
    "retry-after",
    "seat-map-version",
    "x-request-id",
)
CSRF_FAILURE_VIEW = "kernel.backoffice.pages.csrf_failed"
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- Applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    # Before staticfiles, so that runserver also serves WebSockets. Only there: it takes 17 MB of each process.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "kernel",
    "kernel.backoffice",  # before the admin, to override its templates and translations
    "kernel.backoffice.site.BackofficeAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "corsheaders",
    "rest_framework",
    "channels",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "contacts",
    "events",
    "tickets",
    "queueing",
    "seats",
    "reservations",
    "outbox",  # below all others in the house; here for the order of the admin
    "mail",
    "legacy_import",
    "demo",
    "shop",
    *(["devtools"] if DEBUG else []),
]
MIDDLEWARE = [
    "kernel.http.middleware.request_id",
    "kernel.http.middleware.drain_request_body",
    "kernel.http.middleware.measure_requests",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "kernel.http.middleware.compress_responses",
    "kernel.http.middleware.set_cache_control",
    "django.middleware.http.ConditionalGetMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kernel.http.middleware.AdminMiddleware",  # applies ADMIN_MIDDLEWARE to the admin only
]
ADMIN_MIDDLEWARE = [
    "kernel.backoffice.pages.refuse_null_characters",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "ticketservice.urls"
WSGI_APPLICATION = "ticketservice.wsgi.application"
ASGI_APPLICATION = "ticketservice.asgi.application"
CELERY_APPLICATION = "ticketservice.celery.app"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- PostgreSQL ------------------------------------------------------------------------------------------------------
DATABASE_SCHEMA = "ticket_schema"
# A request must not wait forever for a row lock or a bad plan. manage.py sets 0, no limit, for commands of operators.
STATEMENT_TIMEOUT_MS: int = env.int("STATEMENT_TIMEOUT_MS", default=5000)
LOCK_TIMEOUT_MS: int = env.int("LOCK_TIMEOUT_MS", default=3000)
DATABASE_POOL_SIZE: int = env.int("DATABASE_POOL_SIZE", default=20)
# How many threads of a process may wait for PostgreSQL: the others are left for what does without. Commands of operators
# wait as long as it takes.
_DATABASE_THREADS = max(1, env.int("WEB_THREADS", default=8) * 3 // 4)
DATABASE_PLACES = 0 if STATEMENT_TIMEOUT_MS == 0 else min(DATABASE_POOL_SIZE, _DATABASE_THREADS)
# Whatever the server, the database or the role say: what values look like when we read them, and how statements behave.
_SESSION = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "search_path": f"{DATABASE_SCHEMA},public",
    "default_transaction_isolation": "read committed",
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "lock_timeout": LOCK_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": 10_000,
    # The hot statements have one good plan. Planning them for each execution would cost more than executing them.
    "plan_cache_mode": "force_generic_plan",
}
env.address("DATABASE_URL", "postgresql", "postgres")
_database = env.db_url("DATABASE_URL", engine="kernel.db.postgresql")
if not _database.get("NAME"):
    raise ImproperlyConfigured(
        "DATABASE_URL names no database. Set it to postgresql://user:password@host:5432/database."
    )
DATABASES = {
    "default": {
        **_database,
        "CONN_MAX_AGE": 0,  # connections are kept by the pool; Django must return them after each request
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            "session": _SESSION,
            "pool": {
                "min_size": 1,
                "max_size": DATABASE_POOL_SIZE,
                "timeout": 1,
                "max_idle": 300,
                "reconnect_timeout": 1,  # then the next request tries, so that a server that is back is found at once
            },
            "server_side_binding": True,
            "prepare_threshold": 2,
            "connect_timeout": 3,
            # Without these, a server that disappears without closing its connections would block a thread for 15 minutes.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": "ticketservice",
        },
        "TEST": {"NAME": env.str("TEST_DATABASE_NAME", default=None)},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis -----------------------------------------------------------------------------------------------------------
REDIS_URL: str = env.address("REDIS_URL", "redis", "rediss", "unix")
REDIS_HASH_TAGS: bool = env.bool("REDIS_HASH_TAGS", default=False)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_FUNCTION": "kernel.redis.caching.plain_key",  # without prefix: other services read these keys
        "OPTIONS": {
            "CONNECTION_POOL_KWARGS": {
                "socket_connect_timeout": 0.5,
                "socket_timeout": 1.0,
                # One immediate retry, for a pooled connection that died when the server was restarted. More retries would
                # be hidden delays; the circuit breaker in kernel.redis.client handles outages.
                "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            },
        },
    }
}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}
CELERY_BROKER_URL = REDIS_URL

# --- REST ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["kernel.http.rest.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["kernel.http.rest.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "kernel.http.rest.JSONOnlyNegotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "EXCEPTION_HANDLER": "kernel.http.rest.exception_handler",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "kernel.openapi.schema.OperationSchema",
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "Ticket service",
    "VERSION": VERSION,
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SERVERS": [{"url": "/"}, {"url": "/api"}],
    "SCHEMA_PATH_PREFIX": "",
    "SORT_OPERATIONS": False,  # as in ticketservice.urls
    "SORT_OPERATION_PARAMETERS": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["ticketservice.openapi.one_of_each"],
    "POSTPROCESSING_HOOKS": ["kernel.openapi.components.add_components", "ticketservice.openapi.complete"],
}
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
# For how long the body of a request may arrive, in seconds. Less than granian waits for its workers to stop (Procfile).
REQUEST_BODY_SECONDS: float = env.float("REQUEST_BODY_SECONDS", default=5.0)
# Threads of each `web` process: so many requests are processed at once.
WEB_THREADS: int = env.int("WEB_THREADS", default=8)

# --- The sale --------------------------------------------------------------------------------------------------------
MAX_SEATS_PER_RESERVATION: int = env.int("MAX_SEATS_PER_RESERVATION", default=1)
RESERVATION_SECONDS: int = env.int("RESERVATION_SECONDS", default=300)
MAX_TICKETS_PER_BUYER: int = env.int("MAX_TICKETS_PER_BUYER", default=10)
# For how long a seat is closed to the buyer who has released it unpaid; 0: not at all.
RELOCK_SECONDS: int = env.int("RELOCK_SECONDS", default=600)
# For how long of UNPAID_HOLD_WINDOW_SECONDS a buyer may hold places of an event without paying; 0: as long as they like.
UNPAID_HOLD_SECONDS: int = env.int("UNPAID_HOLD_SECONDS", default=3 * RESERVATION_SECONDS)
UNPAID_HOLD_WINDOW_SECONDS: int = env.int("UNPAID_HOLD_WINDOW_SECONDS", default=12 * RESERVATION_SECONDS)
# For how long a payment that has begun keeps its hold, how much time one that has failed leaves for another, and how long
# all of that and every extension may last, from the reservation on.
PAYMENT_SECONDS: int = env.int("PAYMENT_SECONDS", default=600)
PAYMENT_RETRY_SECONDS: int = env.int("PAYMENT_RETRY_SECONDS", default=60)
HOLD_MAX_SECONDS: int = env.int("HOLD_MAX_SECONDS", default=max(1200, RESERVATION_SECONDS))
# For how long after the deadline a payment is accepted, if all places are still there. 0: never.
LATE_PAYMENT_SECONDS: int = env.int("LATE_PAYMENT_SECONDS", default=60)
# How many hours before an event its buyers may cancel for the last time what they have paid. An event may have its own.
CANCELLATION_HOURS: int = env.int("CANCELLATION_HOURS", default=0)
# For how long places are offered to somebody on the waiting list.
OFFER_SECONDS: int = env.int(
    "OFFER_SECONDS", default=min(2 * RESERVATION_SECONDS, UNPAID_HOLD_SECONDS or HOLD_MAX_SECONDS, HOLD_MAX_SECONDS)
)
# The status of a sold seat in the seat map; "reserved" for the existing web client, which does not know "sold".
SOLD_SEAT_WIRE_VALUE: str = env.str("SOLD_SEAT_WIRE_VALUE", default="sold")

# --- The waiting room: defaults for events without a policy of their own ----------------------------------------------
QUEUE_ENABLED: bool = env.bool("QUEUE_ENABLED", default=True)
QUEUE_THRESHOLD: int = env.int("QUEUE_THRESHOLD", default=1000)
QUEUE_ADMISSIONS_PER_SECOND: float = env.float("QUEUE_ADMISSIONS_PER_SECOND", default=1000.0)
QUEUE_BURST: int = env.int("QUEUE_BURST", default=1000)
QUEUE_ADMISSION_SECONDS: int = env.int("QUEUE_ADMISSION_SECONDS", default=600)
QUEUE_IDLE_SECONDS: int = env.int("QUEUE_IDLE_SECONDS", default=60)
QUEUE_GRACE_SECONDS: int = env.int("QUEUE_GRACE_SECONDS", default=300)
QUEUE_ACTIVE_IDLE_SECONDS: int = env.int("QUEUE_ACTIVE_IDLE_SECONDS", default=300)
# For how long nobody is admitted after Redis has lost a queue, so that the people in it can restore their positions.
QUEUE_REBUILD_SECONDS: int = env.int("QUEUE_REBUILD_SECONDS", default=15)

# --- Rate limits: see docs/rate-limits.md; 0 is no limit ---------------------------------------------------------------
# Of each user
RATE_LIMIT_JOIN: Rate = env.rate("RATE_LIMIT_JOIN", default="120/min")
RATE_LIMIT_STATUS: Rate = env.rate("RATE_LIMIT_STATUS", default="600/min")
RATE_LIMIT_RESERVE: Rate = env.rate("RATE_LIMIT_RESERVE", default="120/min")
RATE_LIMIT_WAITLIST: Rate = env.rate("RATE_LIMIT_WAITLIST", default="120/min")
RATE_LIMIT_SEARCH: Rate = env.rate("RATE_LIMIT_SEARCH", default="120/min")
RATE_LIMIT_SOCKETS: Rate = env.rate("RATE_LIMIT_SOCKETS", default="120/min")
# Of each address: whatever comes from it without a valid token
RATE_LIMIT_SEARCH_PER_ADDRESS: Rate = env.rate("RATE_LIMIT_SEARCH_PER_ADDRESS", default="1200/min")
RATE_LIMIT_SOCKETS_PER_ADDRESS: Rate = env.rate("RATE_LIMIT_SOCKETS_PER_ADDRESS", default="12000/min")
RATE_LIMIT_BAD_TOKENS: Rate = env.rate("RATE_LIMIT_BAD_TOKENS", default="300/min")
# Of each account of the admin at each address
RATE_LIMIT_ADMIN_LOGIN: Rate = env.rate("RATE_LIMIT_ADMIN_LOGIN", default="10/15min")

# --- The join challenge: see docs/rate-limits.md -----------------------------------------------------------------------
# Empty: none. `proof-of-work`, `turnstile`, or the dotted path of a class (queueing.challenges.JoinChallenge).
JOIN_CHALLENGE: str = env.str("JOIN_CHALLENGE", default="")
JOIN_CHALLENGE_SECONDS: int = env.int("JOIN_CHALLENGE_SECONDS", default=600)
PROOF_OF_WORK_COST: int = env.int("PROOF_OF_WORK_COST", default=5000)
TURNSTILE_SITE_KEY: str = env.str("TURNSTILE_SITE_KEY", default="")
TURNSTILE_SECRET_KEY: str = env.str("TURNSTILE_SECRET_KEY", default="")
TURNSTILE_VERIFY_URL: str = env.address(
    "TURNSTILE_VERIFY_URL", "https", "http", default="https://challenges.cloudflare.com/turnstile/v0/siteverify"
)

# --- The shop: see docs/shop.md and docs/auth.md ------------------------------------------------------------------------
SHOP_ENABLED: bool = env.bool("SHOP_ENABLED", default=True)
# Origins of its pages besides the one that a request is sent to, for sockets on another port: http://localhost:8000.
SHOP_ORIGINS: list[str] = env.list("SHOP_ORIGINS", default=[])
# The page of the Auth Service where people sign in, and its endpoints for tokens.
SHOP_LOGIN_URL: str = env.address("SHOP_LOGIN_URL", "https", "http", default="")
SHOP_TOKEN_URL: str = env.address("SHOP_TOKEN_URL", "https", "http", default="") or f"{AUTH_SERVICE_URL}/auth/token"
SHOP_REVOKE_URL: str = env.address("SHOP_REVOKE_URL", "https", "http", default="") or f"{AUTH_SERVICE_URL}/auth/revoke"
SHOP_CLIENT_ID: str = env.str("SHOP_CLIENT_ID", default="ticket-shop")
SHOP_CLIENT_SECRET: str = env.str("SHOP_CLIENT_SECRET", default="")
# The page of the payment service. With DEBUG there is one to try it with.
PAYMENT_URL: str = env.address(
    "PAYMENT_URL", "https", "http", default="/shop/demo/payment" if DEBUG and SHOP_ENABLED else ""
)
# Hosts that posters may come from. Others are drawn from title and artist.
SHOP_POSTER_HOSTS: list[str] = env.list("SHOP_POSTER_HOSTS", default=[])

# --- Webhooks --------------------------------------------------------------------------------------------------------
# For how long an attempt may take, from the first byte to the last.
WEBHOOK_TIMEOUT_SECONDS: float = env.float("WEBHOOK_TIMEOUT_SECONDS", default=10.0)
# After a failure: the first pause, and the longest. Each is four times as long as the one before.
WEBHOOK_FIRST_PAUSE_SECONDS: float = env.float("WEBHOOK_FIRST_PAUSE_SECONDS", default=5.0)
WEBHOOK_MAX_PAUSE_SECONDS: float = env.float("WEBHOOK_MAX_PAUSE_SECONDS", default=21600.0)
# For how long a message is tried: three days.
WEBHOOK_GIVE_UP_SECONDS: float = env.float("WEBHOOK_GIVE_UP_SECONDS", default=259200.0)
# Networks that are not public, and may get webhooks, also without TLS: 10.0.0.0/8.
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")

# --- Mail to buyers: see docs/mail.md --------------------------------------------------------------------------------
# Off until one of these is set. With it, the names and addresses of buyers are kept, and MAIL_FROM is needed.
EMAIL_URL: str = env.str("EMAIL_URL", default="")
EMAIL_BACKEND: str = env.str("EMAIL_BACKEND", default="")
MAIL_ENABLED = bool(EMAIL_URL or EMAIL_BACKEND)
if EMAIL_URL:
    vars().update(env.mail_server("EMAIL_URL"))  # EMAIL_HOST and so on
EMAIL_BACKEND = EMAIL_BACKEND or "django.core.mail.backends.dummy.EmailBackend"
if EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
    EMAIL_BACKEND = "mail.smtp.SMTPBackend"  # the same, and says when a message is handed over
EMAIL_TIMEOUT: int = env.int("EMAIL_TIMEOUT", default=10)
# Whom mail is from, such as Tickets <tickets@example.org>, and where answers go.
MAIL_FROM: str = env.str("MAIL_FROM", default="")
MAIL_REPLY_TO: str = env.str("MAIL_REPLY_TO", default="")
# Where a buyer sees a reservation; {id} stands for its id. Empty: mail has no link.
MAIL_RESERVATION_URL: str = env.str("MAIL_RESERVATION_URL", default="")
# After a failure: the first pause, and the longest. Each is four times as long as the one before.
MAIL_FIRST_PAUSE_SECONDS: float = env.float("MAIL_FIRST_PAUSE_SECONDS", default=30.0)
MAIL_MAX_PAUSE_SECONDS: float = env.float("MAIL_MAX_PAUSE_SECONDS", default=3600.0)
MAIL_GIVE_UP_SECONDS: float = env.float("MAIL_GIVE_UP_SECONDS", default=259200.0)
# For how long a name and address are kept after a buyer's last event, and the list of what was sent.
MAIL_RETENTION_DAYS: int = env.int("MAIL_RETENTION_DAYS", default=90)

# --- WebSockets: limits for each `realtime` process; 0 is no limit ----------------------------------------------------
WEBSOCKET_MAX_PER_ADDRESS: int = env.int("WEBSOCKET_MAX_PER_ADDRESS", default=5000)
WEBSOCKET_MAX_PER_USER: int = env.int("WEBSOCKET_MAX_PER_USER", default=20)
# How many trusted proxies append to X-Forwarded-For; with 0 the header is ignored.
TRUSTED_PROXIES: int = env.int("TRUSTED_PROXIES", default=0)

# --- Language, time, static files ------------------------------------------------------------------------------------
LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", "한국어"), ("en", "English")]  # of the admin; the API uses LANGUAGE_CODE
LANGUAGE_COOKIE_PATH = "/admin/"
LANGUAGE_COOKIE_SAMESITE = "Lax"
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
# The time zone in which the admin shows and reads times. Everything else is in UTC.
VENUE_TIME_ZONE: str = env.str("VENUE_TIME_ZONE", default="Asia/Seoul")
# The address of `realtime` for browsers. Empty: that of the page; `:8001`: that port of the page's host.
REALTIME_URL: str = env.str("REALTIME_URL", default="").rstrip("/")
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # serves static files even if collectstatic was not run

# --- Security --------------------------------------------------------------------------------------------------------
if not DEBUG:
    # TLS ends at the proxy, which sets X-Forwarded-Proto. Health checks and other services send plain requests behind it,
    # so redirecting to https is the operator's choice.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT: bool = env.bool("SECURE_SSL_REDIRECT", default=False)
    SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
    SECURE_HSTS_PRELOAD: bool = env.bool("SECURE_HSTS_PRELOAD", default=False)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SILENCED_SYSTEM_CHECKS = [
        "security.W002",  # X-Frame-Options is set for the admin, by ADMIN_MIDDLEWARE; the API has no pages
        "security.W003",  # CSRF protection is active for the admin, in ADMIN_MIDDLEWARE
        "security.W005",  # HSTS speaks for subdomains, and asks for the browsers' lists, only if the operator says so
        "security.W021",
        "security.W008",  # SECURE_SSL_REDIRECT: see above
        "admin.E408",  # the admin's middleware is in ADMIN_MIDDLEWARE
        "admin.E409",
        "admin.E410",
    ]
else:
    SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]

# --- Metrics ---------------------------------------------------------------------------------------------------------
# The processes of a service on one machine share a directory, so that each of them can export the metrics of all. It is in
# /dev/shm, because cleaners of /tmp delete files that have not been written for days.
METRICS_DIR = Path(
    env.str("PROMETHEUS_MULTIPROC_DIR", default="")
    or default_directory(f"{BASE_DIR} {env.str('DATABASE_URL')} {REDIS_URL}")
)
if env.str("PROMETHEUS_MULTIPROC_DIR", default=""):  # prometheus_client then writes there in commands, too
    with suppress(OSError):  # `prepare` says what is wrong
        METRICS_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
# The port on which `worker`, which serves no other HTTP, exports metrics if it runs on a machine of its own. 0: none.
METRICS_PORT: int = env.int("METRICS_PORT", default=0)

# --- Logs ------------------------------------------------------------------------------------------------------------
LOG_FORMAT: str = env.choice("LOG_FORMAT", "json", "text", default="text" if DEBUG else "json")
LOG_LEVEL: str = env.choice("LOG_LEVEL", "DEBUG", "INFO", "WARNING", "ERROR", default="INFO")
# Slower responses are logged, in ms; 0: never.
SLOW_REQUEST_MS: int = env.int("SLOW_REQUEST_MS", default=1000)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "kernel.observability.request_context.RequestContextFilter"},
        "client_errors": {"()": "kernel.observability.logging.ClientErrorFilter"},
        "client_faults": {"()": "kernel.observability.logging.ClientFaultFilter"},
    },
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(levelname)s %(name)s %(request_id)s %(message)s",
            **JSON,
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id", "client_faults"],
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Not a line every second: tasks log what they have done (kernel.tasks.base).
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # Replaces the handlers that uvicorn has installed. granian's are in granian-log.json.
        "uvicorn": {"handlers": [], "propagate": True},
        # Its lines have whole URLs, and with them tokens. Below a configured logger `--no-access-log` has no effect.
        "uvicorn.access": {"handlers": [], "propagate": False},
        "uvicorn.error": {"handlers": [], "propagate": True, "filters": ["client_errors"]},
        # Error responses are not logged; unexpected exceptions are, by kernel.http.problems.
        "django.request": {"level": "CRITICAL"},
        "django.security.DisallowedHost": {"level": "ERROR"},
    },
}
