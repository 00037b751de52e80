"""A Daphne server with shared frames, bounded buffers, real close codes, drain and workers.

Run it with ``python -m ginforge.server [any Daphne flag] module:application``. It serves any ASGI application;
what it adds is offered through ``scope["extensions"]["ginforge.direct"]`` (docs/direct-socket.md).

Importing this package, or ``ginforge.server.runtime``, does not import Twisted.
"""
