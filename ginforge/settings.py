"""Django settings, read from the environment and a ``.env`` file (``ENV_FILE``); ``.env.example`` lists them."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import environ

from ginforge import content_policy
from ginforge.charts import chart_directories
from ginforge.forwarded import parse_proxies
from ginforge.key_material import development_secret, refusal
from ginforge.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if env_file := env.str("ENV_FILE", default=str(BASE_DIR / ".env")):
    environ.Env.read_env(env_file)

DEBUG = env.bool("DEBUG", default=False)
DEVELOPMENT_DIR = Path(env.str("DEVELOPMENT_DIR", default=str(BASE_DIR / ".dev")))

# Secrets

SECRET_KEY = env.str("SECRET_KEY", default="")
JWT_SIGNING_KEY = env.str("JWT_SIGNING_KEY", default="", multiline=True)
if DEBUG:
    SECRET_KEY = SECRET_KEY or development_secret(DEVELOPMENT_DIR, "SECRET_KEY")
    JWT_SIGNING_KEY = JWT_SIGNING_KEY or development_secret(DEVELOPMENT_DIR, "JWT_SIGNING_KEY")
elif problem := refusal({"SECRET_KEY": SECRET_KEY, "JWT_SIGNING_KEY": JWT_SIGNING_KEY}):
    sys.exit(problem)

# Address

HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8080)
_LOOPBACK = [".localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[]) + (_LOOPBACK if DEBUG else [])
ALLOWED_ORIGINS: list[str] = env.list("ALLOWED_ORIGINS", default=[])
CSRF_TRUSTED_ORIGINS = [origin for origin in ALLOWED_ORIGINS if "://" in origin]
# Whose X-Forwarded-* headers count (ginforge.forwarded); nothing else may look at them.
TRUSTED_PROXIES = parse_proxies(env.str("TRUST_PROXY", default=""))

# Applications

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "axes",
    "csp",
    "ginforge.proxy",
    "realtime",
    "notifications",
    "ginforge.worker",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "ginforge.static.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "realtime.audit.middleware.AuditMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "ginforge.urls"
ASGI_APPLICATION = "ginforge.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis and the gateway

REDIS_URLS: list[str] = env.list("REDIS_URL", default=[]) or ["redis://127.0.0.1:6379/0"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": env.str("CHANNEL_LAYER", default="realtime.layer.RedisStreamChannelLayer"),
        "CONFIG": {"hosts": REDIS_URLS},
    },
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URLS[0],
        "KEY_PREFIX": "ginforge:cache",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 5},
    },
}
REALTIME = env.json("REALTIME", default={})

# The worker: Celery's queue is on the same Redis unless CELERY_BROKER_URL says otherwise; WORKER holds what is tunable

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
WORKER = env.json("WORKER", default={})

UPSTREAMS = {
    name: env.list(f"UPSTREAM_{name.upper()}_API", default=[]) for name in ("user", "merchant", "admin", "file")
}
PROXY = env.json("PROXY", default={})  # ginforge.proxy.conf, docs/proxy.md

# Tokens and the REST API

SIMPLE_JWT = {
    "ALGORITHM": env.str("JWT_ALGORITHM", default="HS256"),
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "VERIFYING_KEY": env.str("JWT_VERIFYING_KEY", default="", multiline=True),
    "ISSUER": env.str("JWT_ISSUER", default="") or None,
    "AUDIENCE": env.str("JWT_AUDIENCE", default="") or None,
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "user_id",
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.int("JWT_ACCESS_TTL", default=3600)),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=env.int("JWT_REFRESH_TTL", default=7 * 86_400)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}
JWT_VERIFYING_KEYS: list[str] = env.list("JWT_VERIFYING_KEYS", default=[])
JWT_JWKS = env.str("JWT_JWKS", default="")
JWT_JWKS_TTL = env.int("JWT_JWKS_TTL", default=300)
JWT_ALLOW_UNTYPED = env.bool("JWT_ALLOW_UNTYPED", default=False)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "realtime.auth.rest.TokenAuthentication",
        "realtime.auth.rest.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": [
        "realtime.api.throttling.AnonymousThrottle",
        "realtime.api.throttling.UserThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "login": env.str("LOGIN_RATE", default="30/min"),
        "anonymous": env.str("ANONYMOUS_RATE", default="300/min"),
        "user": env.str("USER_RATE", default="1200/min"),
    },
    "NUM_PROXIES": 0,  # REMOTE_ADDR is the client already, see TRUSTED_PROXIES
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "GinForge realtime gateway",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Guessing passwords: so many wrong ones for a name from an address, and both wait (manage.py axes_reset_username NAME)

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = env.int("LOCKOUT_FAILURES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOCKOUT_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # the audit has it
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "realtime.auth.lockout.client_address"
AXES_LOCKOUT_CALLABLE = "realtime.auth.lockout.locked_out"
AXES_SENSITIVE_PARAMETERS = ["password", "token", "refresh"]

# Languages, time, static files, logs

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = chart_directories()
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None  # only for a collectstatic to another web server
WHITENOISE_USE_FINDERS = True  # served from the installed apps: one port and no collectstatic step
WHITENOISE_AUTOREFRESH = DEBUG

# Browsers. HTTPS_ONLY also sends plain HTTP away; behind a proxy that ends TLS it needs TRUST_PROXY.

HTTPS_ONLY = env.bool("HTTPS_ONLY", default=False)
SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked by machines next door
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if HTTPS_ONLY else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.bool("HSTS_SUBDOMAINS", default=False)
# Whether the other hosts of the domain speak HTTPS is not for this one to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = content_policy.POLICY
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=not DEBUG)
SESSION_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING = logging_config(level=LOG_LEVEL, json_lines=env.str("LOG_FORMAT", default="text") == "json")
