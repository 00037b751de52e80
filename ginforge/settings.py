"""Django settings, read from the environment and a ``.env`` file (``ENV_FILE``); ``.env.example`` lists them."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import environ

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
    "realtime",
    "notifications",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "ginforge.static.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
REALTIME = env.json("REALTIME", default={})

UPSTREAMS = {
    name: env.list(f"UPSTREAM_{name.upper()}_API", default=[]) for name in ("user", "merchant", "admin", "file")
}

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

# Languages, time, static files, logs

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None  # only for a collectstatic to another web server
WHITENOISE_USE_FINDERS = True  # served from the installed apps: one port and no collectstatic step
WHITENOISE_AUTOREFRESH = DEBUG

SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=False)
X_FRAME_OPTIONS = "DENY"
if env.bool("TRUST_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING = logging_config(level=LOG_LEVEL, json_lines=env.str("LOG_FORMAT", default="text") == "json")
