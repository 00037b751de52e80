"""Settings of the test suite: the project's own, with an environment that does not depend on the machine's."""

import os

_IGNORED = ("REDIS_URL", "DATABASE_URL", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_ALGORITHM", "REALTIME", "ALLOWED_ORIGINS")
for _name in _IGNORED:
    os.environ.pop(_name, None)
os.environ["ENV_FILE"] = ""
os.environ["DEBUG"] = "1"
os.environ["SECRET_KEY"] = "test-secret-key-0123456789-abcdefghijklmnop"
os.environ["JWT_SIGNING_KEY"] = "test-signing-key-0123456789-abcdefghijklmnop"
os.environ["DATABASE_URL"] = "sqlite://:memory:"

from ginforge.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
