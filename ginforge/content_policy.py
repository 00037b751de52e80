"""The Content-Security-Policy of every page that does not bring its own (CSP level 3, W3C)."""

from __future__ import annotations

from typing import Any

from csp.constants import NONCE, NONE, SELF

POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],  # icons inside the style sheets of the admin and of Swagger
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    },
}
"""Nothing from elsewhere, nothing inline without the nonce of this very answer, never inside a frame."""
