"""Settings of the example; for a real project take secrets and hosts from the environment as well."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-this-example-0123456789-abcdefghijklmnop")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE_PATH", BASE_DIR / "db.sqlite3"),
    }
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

# realtime
INSTALLED_APPS += [
    "channels",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "realtime",
    "notifications",
]
ASGI_APPLICATION = "shop.asgi.application"
REDIS_URLS = [os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")]
CHANNEL_LAYERS = {
    "default": {"BACKEND": "realtime.layer.RedisStreamChannelLayer", "CONFIG": {"hosts": REDIS_URLS}},
}
SIMPLE_JWT = {"SIGNING_KEY": SECRET_KEY, "USER_ID_CLAIM": "user_id"}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["realtime.auth.rest.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
REALTIME = {"message_rate": 20.0}  # every key: realtime/conf.py
