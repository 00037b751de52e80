"""The ready-to-use login of development: a superuser with a password that lives outside git."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ginforge.key_material import development_secret

USERNAME: Final = "dev"
TOKEN_SECONDS: Final = 12 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What to type, and an access token that works at once."""

    username: str
    password: str
    token: str


def development_login(directory: Path) -> Login:
    """Create or repair the user ``dev``; only for DEBUG. Needs Django set up and the database migrated."""
    from django.contrib.auth import get_user_model

    from realtime.auth.minting import mint_access_token

    password = development_secret(directory, "DEV_PASSWORD")[:12]
    users = get_user_model().objects
    user = users.filter(username=USERNAME).first() or users.create_superuser(USERNAME, password=password)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
        time.sleep(1)  # a new password revokes the tokens of the second it was set in
    token = mint_access_token(str(user.pk), username=USERNAME, is_staff=user.is_staff, ttl=TOKEN_SECONDS)
    return Login(username=USERNAME, password=password, token=token)
