"""``payment.retry``: ask the payment service again until it says yes, says no, or the tries are used up."""

from __future__ import annotations

from typing import Any, Final

import httpx
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ginforge.worker.arguments import PaymentRetry
from ginforge.worker.backoff import Backoff
from ginforge.worker.conf import get_settings
from ginforge.worker.errors import Refused, TryLater
from ginforge.worker.runner import Running
from notifications.services import notify

_MAY_CHANGE: Final = (408, 409, 425, 429)
"""Client errors that are not the last word."""
_LONGEST_WISH: Final = 86_400.0


def backoff() -> Backoff:
    """Return the pauses between payments."""
    conf = get_settings()
    return Backoff(conf.payment_base, conf.payment_cap, conf.payment_attempts)


def retry(arguments: PaymentRetry, running: Running) -> None:
    """POST the payment once, and tell its user when it is paid.

    The ``Idempotency-Key`` is the same in all tries of one payment, so that the service takes it once. Raises
    ``TryLater`` when there is no final answer and ``Refused`` when the answer is no.
    """
    answer = _post(arguments, running)
    if not answer.is_success:
        reason = f"the payment service answered {answer.status_code}"
        if answer.is_server_error or answer.status_code in _MAY_CHANGE:
            raise TryLater(reason, after=_asked_pause(answer))
        raise Refused(reason)
    _settle(arguments, paid=True, reason="")
    if arguments.user_id is not None:
        body = _("Payment %(payment)s went through.") % {"payment": arguments.payment_id}
        _notify(arguments, _("Payment complete"), body, f"{running.key}:paid")


def give_up(arguments: PaymentRetry, running: Running, reason: str) -> None:
    """Tell the business and the user that there will be no more tries."""
    _settle(arguments, paid=False, reason=reason)
    if arguments.user_id is not None:
        body = _("Payment %(payment)s did not go through. Please choose another way to pay.")
        _notify(arguments, _("Payment failed"), body % {"payment": arguments.payment_id}, f"{running.key}:failed")


def _post(arguments: PaymentRetry, running: Running) -> httpx.Response:
    conf = get_settings()
    if not conf.payment_url:
        raise Refused('WORKER["payment_url"] is not set')
    body = {**arguments.payload, "payment_id": arguments.payment_id, "attempt": running.attempt}
    headers = {"Idempotency-Key": f"payment.retry:{arguments.payment_id}"}
    try:
        return httpx.post(conf.payment_url, json=body, headers=headers, timeout=conf.payment_timeout)
    except httpx.InvalidURL as error:
        raise Refused(f"payment_url: {error}") from None
    except httpx.HTTPError as error:
        raise TryLater(f"the payment service does not answer: {type(error).__name__}") from error


def _asked_pause(answer: httpx.Response) -> float:
    wish = answer.headers.get("Retry-After", "")
    return min(float(wish), _LONGEST_WISH) if wish.isascii() and wish.isdigit() else 0.0


def _settle(arguments: PaymentRetry, **end: Any) -> None:
    import_string(get_settings().payment_settled)(str(arguments.payment_id), **end)


def _notify(arguments: PaymentRetry, title: str, body: str, identity: str) -> None:
    data = {"payment_id": arguments.payment_id}
    user_id = str(arguments.user_id)
    notify(user_id, title, body, category="payment", data=data, id=identity, durable=True, must_send=True)
