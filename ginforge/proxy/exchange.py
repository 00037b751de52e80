"""One proxied HTTP request: pick an instance, send, try another where that is safe, pass the answer on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

from ginforge.proxy import metrics
from ginforge.proxy.answers import ClientGone, Refusal, Send
from ginforge.proxy.balance import Instance, Pool
from ginforge.proxy.body import RequestBody
from ginforge.proxy.conf import ProxySettings, Route
from ginforge.proxy.headers import response_headers

logger = logging.getLogger(__name__)

IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""RFC 9110 section 9.2.2."""
_UNAVAILABLE: Final = frozenset((502, 503, 504))
"""Answers that say something about the instance rather than the request."""
_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_SKIPPED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_RETRY_SOON: Final = ((b"retry-after", b"1"),)


class Unreachable(Exception):
    """A try that failed; ``sent`` tells whether the instance may have seen the request."""

    def __init__(self, kind: str, *, sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sent = sent


@dataclass(slots=True)
class Exchange:
    """Everything about one request."""

    session: aiohttp.ClientSession
    conf: ProxySettings
    route: Route
    pool: Pool
    method: str
    target: str
    """Path and query as the client wrote them."""
    headers: Callable[[Instance], Any]
    body: RequestBody
    send: Send
    ident: str
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Headers that the gateway adds to the answer."""
    started: bool = False
    """Whether the client has been sent the head of an answer."""
    status: int = 0
    tried: list[Instance] = field(default_factory=list)

    async def run(self) -> None:
        """Carry the request out.

        Raises ``Refusal`` when no instance answered, and after ``started`` ends without the end of the answer, which
        makes the server cut the connection, when the instance fails in mid-answer.
        """
        budget = time.monotonic() + self.conf.connect_budget
        failure: Unreachable | None = None
        while len(self.tried) < self.conf.max_attempts and (budget > time.monotonic() or not self.tried):
            instance = self.pool.pick(time.monotonic(), self.tried)
            if instance is None:
                break
            if self.tried:
                metrics.retries.labels(self.route.name).inc()
            self.tried.append(instance)
            try:
                await self._attempt(instance, budget)
                return
            except Unreachable as error:
                failure = error
                if not self._may_retry(error):
                    break
        raise self._refusal(failure)

    def _may_retry(self, error: Unreachable) -> bool:
        """Tell whether another instance may be asked: one that never got the request counts for nothing."""
        return self.body.repeatable and (not error.sent or self.method in IDEMPOTENT)

    def _refusal(self, failure: Unreachable | None) -> Refusal:
        name = self.route.name
        if failure is None and self.pool.is_full(time.monotonic()):
            return Refusal(503, "busy", f"All instances of the {name} service are busy", _RETRY_SOON)
        if failure is None:
            return Refusal(503, "no_live_upstream", f"No instance of the {name} service is alive", _RETRY_SOON)
        if failure.kind == "first_byte_timeout":
            return Refusal(504, "upstream_timeout", f"The {name} service did not answer in time")
        return Refusal(502, "upstream_failed", f"The {name} service could not be reached ({failure.kind})")

    async def _attempt(self, instance: Instance, budget: float) -> None:
        gauge = metrics.in_flight.labels(self.route.name, instance.target.label)
        with instance.busy(), gauge.track_inprogress():
            try:
                await self._converse(instance, budget)
            except Unreachable as error:
                self._failed(instance, error.kind)
                raise
            finally:
                instance.breaker.abandon()

    async def _converse(self, instance: Instance, budget: float) -> None:
        began = time.monotonic()
        response = await self._ask(instance, budget)
        try:
            metrics.seconds.labels(self.route.name).observe(time.monotonic() - began)
            if response.status in _UNAVAILABLE:
                # Whether it goes through or is tried elsewhere, the instance is not well.
                if self._has_alternative():
                    raise Unreachable(f"status_{response.status}", sent=True)
                self._failed(instance, f"status_{response.status}")
            else:
                instance.breaker.succeed()
            await self._pass_on(instance, response)
        finally:
            # A connection that an answer was read from to its end is in the pool already.
            response.close()

    def _has_alternative(self) -> bool:
        if self.method not in IDEMPOTENT or not self.body.repeatable or len(self.tried) >= self.conf.max_attempts:
            return False
        return self.pool.pick(time.monotonic(), self.tried) is not None

    async def _ask(self, instance: Instance, budget: float) -> aiohttp.ClientResponse:
        """Send the request and wait for the head of the answer; 1xx answers are the client library's."""
        settings = self.route.settings
        connect = max(0.05, min(settings.connect_timeout, budget - time.monotonic()))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=settings.idle_timeout)
        try:
            async with asyncio.timeout(settings.first_byte_timeout) as patience:
                self.body.on_chunk = lambda: _extend(patience, settings.first_byte_timeout)
                return await self.session.request(
                    self.method,
                    URL(instance.target.url + self.target, encoded=True),
                    headers=self.headers(instance),
                    data=self.body.payload(),
                    timeout=timeout,
                    allow_redirects=False,
                    skip_auto_headers=_SKIPPED,
                )
        except _NOT_SENT as error:
            raise Unreachable("connect_failed", sent=False) from error
        except TimeoutError as error:
            raise (self.body.error or Unreachable("first_byte_timeout", sent=True)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise (self.body.error or Unreachable(_kind(error), sent=True)) from error
        except ValueError as error:
            raise Refusal(400, "bad_request", "The request cannot be passed on") from error
        finally:
            self.body.on_chunk = None

    async def _pass_on(self, instance: Instance, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        head = response_headers(response.raw_headers, self.ident, status=response.status)
        self.started = True
        await self.send({"type": "http.response.start", "status": response.status, "headers": head + self.extra})
        try:
            async for chunk in response.content.iter_any():
                await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failed(instance, "idle_timeout" if isinstance(error, TimeoutError) else "died_in_body")
            return
        await self.send({"type": "http.response.body", "body": b""})

    def _failed(self, instance: Instance, kind: str) -> None:
        instance.fail(time.monotonic(), kind)
        label = instance.target.label
        metrics.failures.labels(self.route.name, label, kind).inc()
        logger.warning(
            "upstream failed",
            extra={"route": self.route.name, "instance": label, "kind": kind, "request_id": self.ident},
        )


def _extend(patience: asyncio.Timeout, seconds: float) -> None:
    """Begin the wait for an answer anew: the client is still sending its request."""
    with contextlib.suppress(RuntimeError):
        patience.reschedule(asyncio.get_running_loop().time() + seconds)


def _kind(error: Exception) -> str:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "disconnected"
    return "bad_answer" if isinstance(error, aiohttp.ClientResponseError) else "connection_lost"


async def until_client_leaves(work: asyncio.Task[None], body: RequestBody) -> None:
    """Wait for ``work``, and cancel it when the client hangs up, which ends the connection to the upstream.

    Raises what ``work`` raises, and ``ClientGone``.
    """
    watch = asyncio.ensure_future(body.gone())
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGone
        work.result()
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
