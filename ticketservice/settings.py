"""Settings, read from the environment once. Every variable is described in `.env.example`.

A configuration that can not work refuses to start here; relations between settings that can be judged
without starting are system checks in `kernel.checks`.
"""

import sys
import tomllib
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from kernel.config.environment import Environment
from kernel.observability.logging import JSON
from kernel.observability.multiprocess import default_directory

env = Environment()

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
DEBUG: bool = env.bool("DEBUG", default=False)

# --- Secrets ---------------------------------------------------------------------------------------------------------
DEVELOPMENT_SECRET_KEY = "development-only-secret-key"  # noqa: S105 - refused unless DEBUG
SECRET_KEY: str = env.str("SECRET_KEY", default=DEVELOPMENT_SECRET_KEY)
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
AUTH_SERVICE_URL: str = env.address("AUTH_SERVICE_URL", "https", "http", default="").rstrip("/")
JWT_SECRET: str = env.str("JWT_SECRET", default="")
JWT_PUBLIC_KEY: str = env.public_key("JWT_PUBLIC_KEY")
INTERNAL_API_TOKEN: str = env.str("INTERNAL_API_TOKEN", default="")

_WELL_KNOWN_SECRETS = {DEVELOPMENT_SECRET_KEY, "secret", "changeme", "change-me", "your-secret-key", "your-jwt-secret"}
if not DEBUG and SECRET_KEY in _WELL_KNOWN_SECRETS:
    raise ImproperlyConfigured("SECRET_KEY is not set, or is a default. Set it to 50 or more random characters.")
if not DEBUG and JWT_SECRET in _WELL_KNOWN_SECRETS:
    raise ImproperlyConfigured(
        "JWT_SECRET is a default. Set it to the secret that the issuer of the tokens signs with."
    )
if not DEBUG and INTERNAL_API_TOKEN in _WELL_KNOWN_SECRETS:
    raise ImproperlyConfigured("INTERNAL_API_TOKEN is a default. Set it to a long random string.")
if not (AUTH_SERVICE_URL or JWT_SECRET or JWT_PUBLIC_KEY):
    raise ImproperlyConfigured(
        "Nobody could sign in: set AUTH_SERVICE_URL, JWT_SECRET (HS256) or JWT_PUBLIC_KEY (RS256)."
    )

# --- Hosts -----------------------------------------------------------------------------------------------------------
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["*"] if DEBUG else ["localhost", "127.0.0.1", "[::1]"])
# Reads are open to any origin. Origins listed here may also send tokens and write.
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ORIGINS", default=[])
CORS_ALLOW_ALL_ORIGINS = not CORS_ALLOWED_ORIGINS
CORS_ALLOW_METHODS = ("GET", "HEAD", "OPTIONS", "POST") if DEBUG or CORS_ALLOWED_ORIGINS else ("GET", "HEAD", "OPTIONS")
CORS_ALLOW_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "queue-pass",
    "queue-ticket",
)
CORS_EXPOSE_HEADERS = ("etag", "retry-after", "seat-map-version", "x-request-id")
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- Applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    # Before staticfiles: runserver then serves sockets, too. Nobody else needs it, and it takes 17 MB of each process.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "kernel",
    "kernel.backoffice",  # before the admin, some of whose templates and translations it replaces
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
    "events",
    "tickets",
    "queueing",
    "seats",
    "reservations",
    "legacy_import",
    "demo",
    *(["devtools"] if DEBUG else []),
]
MIDDLEWARE = [
    "kernel.http.middleware.request_id",
    "kernel.http.middleware.drain_request_body",
    "kernel.http.middleware.measure_requests",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "kernel.http.middleware.compress_responses",
    "django.middleware.http.ConditionalGetMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kernel.http.middleware.admin_middleware",  # sessions, CSRF and messages for the admin: the API does without
]
ADMIN_MIDDLEWARE = [
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
# Web requests must not wait for ever for a row or a plan gone wrong; operators' commands (manage.py) set 0: no limit.
STATEMENT_TIMEOUT_MS: int = env.int("STATEMENT_TIMEOUT_MS", default=5000)
LOCK_TIMEOUT_MS: int = env.int("LOCK_TIMEOUT_MS", default=3000)
DATABASE_POOL_SIZE: int = env.int("DATABASE_POOL_SIZE", default=20)
_SESSION = {
    "search_path": f"{DATABASE_SCHEMA},public",
    "default_transaction_isolation": r"read\ committed",
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "lock_timeout": LOCK_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": 10_000,
    # The hot statements have one good plan; planning them anew for every call costs more than running them.
    "plan_cache_mode": "force_generic_plan",
}
env.address("DATABASE_URL", "postgresql", "postgres")
_database = env.db_url("DATABASE_URL", engine="django_prometheus.db.backends.postgresql")
if not _database.get("NAME"):
    raise ImproperlyConfigured(
        "DATABASE_URL names no database. Set it to postgresql://user:password@host:5432/database."
    )
DATABASES = {
    "default": {
        **_database,
        "CONN_MAX_AGE": 0,  # the pool keeps connections; Django must give them back after each request
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            "pool": {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 2, "max_idle": 300},
            "server_side_binding": True,
            "prepare_threshold": 2,
            "connect_timeout": 3,
            # A server that has vanished without a word must not hold a thread for a quarter of an hour.
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
        "KEY_FUNCTION": "kernel.redis.caching.plain_key",  # the plan names the keys as they stand in Redis
        "OPTIONS": {
            "CONNECTION_POOL_KWARGS": {
                "socket_connect_timeout": 0.5,
                "socket_timeout": 1.0,
                # Once, at once, for a pooled connection that died with the server's last restart. Beyond that the circuit
                # breaker in kernel.redis.client decides, not hidden sleeps.
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

# --- The sale --------------------------------------------------------------------------------------------------------
MAX_SEATS_PER_RESERVATION: int = env.int("MAX_SEATS_PER_RESERVATION", default=1)
RESERVATION_SECONDS: int = env.int("RESERVATION_SECONDS", default=300)
# What a sold seat is called in the seat map: "reserved" for the web client that knows no "sold".
SOLD_SEAT_WIRE_VALUE: str = env.str("SOLD_SEAT_WIRE_VALUE", default="sold")

# --- The waiting room: what counts for events whose policy says nothing else -------------------------------------------
QUEUE_ENABLED: bool = env.bool("QUEUE_ENABLED", default=True)
QUEUE_THRESHOLD: int = env.int("QUEUE_THRESHOLD", default=1000)
QUEUE_ADMISSIONS_PER_SECOND: float = env.float("QUEUE_ADMISSIONS_PER_SECOND", default=1000.0)
QUEUE_BURST: int = env.int("QUEUE_BURST", default=1000)
QUEUE_ADMISSION_SECONDS: int = env.int("QUEUE_ADMISSION_SECONDS", default=600)
QUEUE_IDLE_SECONDS: int = env.int("QUEUE_IDLE_SECONDS", default=60)
QUEUE_GRACE_SECONDS: int = env.int("QUEUE_GRACE_SECONDS", default=300)
QUEUE_ACTIVE_IDLE_SECONDS: int = env.int("QUEUE_ACTIVE_IDLE_SECONDS", default=300)
# How long nobody is let in after Redis has lost a line, so that those who stood in it can come back first.
QUEUE_REBUILD_SECONDS: int = env.int("QUEUE_REBUILD_SECONDS", default=15)

# --- Live sockets: limits for each `realtime` process; 0 is no limit ---------------------------------------------------
WEBSOCKET_MAX_PER_ADDRESS: int = env.int("WEBSOCKET_MAX_PER_ADDRESS", default=5000)
WEBSOCKET_MAX_PER_USER: int = env.int("WEBSOCKET_MAX_PER_USER", default=20)
# How many proxies of ours stand in front and add to X-Forwarded-For; with 0 the header is not believed.
TRUSTED_PROXIES: int = env.int("TRUSTED_PROXIES", default=0)

# --- Language, time, static files ------------------------------------------------------------------------------------
LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", "한국어"), ("en", "English")]  # of the admin; the API speaks LANGUAGE_CODE
LANGUAGE_COOKIE_PATH = "/admin/"
LANGUAGE_COOKIE_SAMESITE = "Lax"
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
# In which time the admin shows and reads moments. Everything else is UTC.
VENUE_TIME_ZONE: str = env.str("VENUE_TIME_ZONE", default="Asia/Seoul")
# Where browsers find the sockets of `realtime`. Empty: where the page came from; `:8001`: there, on that port.
REALTIME_URL: str = env.str("REALTIME_URL", default="").rstrip("/")
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # the admin has its styles also where nobody ran collectstatic

# --- Security --------------------------------------------------------------------------------------------------------
if not DEBUG:
    # TLS ends at the proxy, which sets X-Forwarded-Proto. Behind it, plain requests are health checks and other
    # services; whether browsers are sent to https is therefore the operator's choice.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT: bool = env.bool("SECURE_SSL_REDIRECT", default=False)
    SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=True)
    SECURE_HSTS_PRELOAD: bool = env.bool("SECURE_HSTS_PRELOAD", default=True)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SILENCED_SYSTEM_CHECKS = [
        "security.W002",  # X-Frame-Options is there, for the admin: see ADMIN_MIDDLEWARE; the API has no pages
        "security.W003",  # CSRF middleware is there, for the admin: see ADMIN_MIDDLEWARE
        "security.W008",  # SECURE_SSL_REDIRECT: see above
        "admin.E408",  # the admin's middleware: see ADMIN_MIDDLEWARE
        "admin.E409",
        "admin.E410",
    ]
else:
    SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]

# --- Metrics ---------------------------------------------------------------------------------------------------------
# The processes of one service on one machine count into one directory, so that any of them tells of all. In memory, where
# nobody tidies up what is not touched for days.
METRICS_DIR = Path(
    env.str("PROMETHEUS_MULTIPROC_DIR", default="")
    or default_directory(f"{BASE_DIR} {env.str('DATABASE_URL')} {REDIS_URL}")
)
# `worker` answers no HTTP: on a machine of its own it is scraped here. 0: it is not.
METRICS_PORT: int = env.int("METRICS_PORT", default=0)

# --- Logs ------------------------------------------------------------------------------------------------------------
LOG_FORMAT: str = env.choice("LOG_FORMAT", "json", "text", default="text" if DEBUG else "json")
LOG_LEVEL: str = env.choice("LOG_LEVEL", "DEBUG", "INFO", "WARNING", "ERROR", default="INFO")
# How long an answer may take before a line in the log tells of it; 0: none does.
SLOW_REQUEST_MS: int = env.int("SLOW_REQUEST_MS", default=1000)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "kernel.observability.request_context.RequestContextFilter"},
        "client_errors": {"()": "kernel.observability.logging.ClientErrorFilter"},
    },
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(levelname)s %(name)s %(request_id)s %(message)s",
            **JSON,
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # A line for each second says nothing; jobs log what they did (kernel.tasks.base).
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # uvicorn has set up its own by now; granian's stand in granian-log.json.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.error": {"handlers": [], "propagate": True, "filters": ["client_errors"]},
        "django.request": {
            "level": "CRITICAL"
        },  # refusals are answers, not log lines; crashes are logged by kernel.http.problems
        "django.security.DisallowedHost": {"level": "ERROR"},
    },
}
