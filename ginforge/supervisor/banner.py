"""What the developer is told once the gateway is ready."""

from __future__ import annotations

import os
import shutil
import sys

from ginforge.supervisor.login import Login
from ginforge.supervisor.plan import Plan


def banner(plan: Plan, redis_url: str, login: Login | None) -> str:
    """Return what the developer is told once the gateway is ready."""
    rows = [
        ("Console", f"{plan.url}/"),
        ("WebSocket", f"{plan.url.replace('http', 'ws', 1)}/ws"),
        ("Admin, API docs", f"{plan.url}/admin/  {plan.url}/api/docs/"),
        ("Redis", "from REDIS_URL" if plan.redis_url else f"{redis_url}  (embedded Valkey)"),
    ]
    if login:
        rows += [("Login", f"{login.username} / {login.password}"), ("Token (12 h)", login.token)]
    lines = "\n".join(f"  {label:<16} {value}" for label, value in rows)
    return f"\n  GinForge is ready. Ctrl-C stops it.\n\n{lines}\n\n  Publish:  {_publish_example(plan, redis_url)}\n"


def _publish_example(plan: Plan, redis_url: str) -> str:
    message = '\'{"type":"system","content":{"title":"Hello"}}\''
    if plan.redis_url:  # may hold a password, and several shards
        redis_url = '"${REDIS_URL%%,*}"'
    if shutil.which("redis-cli"):
        return f"redis-cli -u {redis_url} PUBLISH websocket:broadcast {message}"
    python = os.path.relpath(sys.executable)
    code = "import redis,sys; redis.Redis.from_url(sys.argv[1]).publish(*sys.argv[2:])"
    return f'{python} -c "{code}" {redis_url} websocket:broadcast {message}'
