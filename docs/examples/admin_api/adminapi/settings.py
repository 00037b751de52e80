"""Settings of the example; for a real service take secrets and hosts from the environment as well."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-this-example-0123456789-abcdefghijklmnop")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "adminapi.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE_PATH", BASE_DIR / "db.sqlite3"),
    }
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "adminapi.apps.AdminApiConfig"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
REDIS_URLS = [os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")]  # realtime: all the client needs
