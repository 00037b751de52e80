"""What importing the package costs a service that only wants to send."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys

import notifications

NAMES = [name for name in notifications.__all__ if name.islower()]


def run(code: str, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def loaded_after(code: str) -> set[str]:
    return set(json.loads(run(f"{code}\nimport sys, json; print(json.dumps(list(sys.modules)))")))


def test_importing_the_package_loads_neither_django_nor_redis():
    assert not {"django", "redis", "msgspec"} & loaded_after("import notifications")


def test_using_the_client_loads_no_django_and_needs_no_settings():
    assert "django" not in loaded_after("from notifications import *; NotificationClient('redis://127.0.0.1:1/0')")


def test_a_service_without_a_redis_url_is_told_so():
    code = "import notifications as n\ntry: n.send_notification(1, 'a', 'b')\nexcept n.NotConfigured as e: print(e)"
    assert run(code) == "no Redis: set REDIS_URL, for example to redis://127.0.0.1:6379/0"


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(notifications, "send_pigeon")


def test_every_public_name_exists_and_is_listed():
    assert set(notifications.__all__) <= set(dir(notifications))
    assert all(getattr(notifications, name) for name in notifications.__all__)


def test_every_function_has_an_async_twin_with_the_same_signature():
    plain = [name for name in NAMES if not inspect.iscoroutinefunction(getattr(notifications, name))]
    assert len(plain) * 2 == len(NAMES)
    for name in plain:
        twin = getattr(notifications, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert asyncio.iscoroutinefunction(twin)
        assert inspect.signature(getattr(notifications, name)) == inspect.signature(twin)


def test_functions_and_methods_show_their_real_signature():
    function = str(inspect.signature(notifications.send_notification))
    assert function.startswith("(user_id: 'UserId', title: 'str', body: 'str', *, icon:")
    assert function.endswith("-> 'str'")
    client = notifications.NotificationClient("redis://127.0.0.1:1/0")
    assert str(inspect.signature(client.send_notification)) == function
