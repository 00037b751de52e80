"""Load generator: many WebSocket clients against a running gateway, and what they saw.

Needs the ``loadtest`` extra. Runs as ``manage.py loadtest URL``, or without Django as
``python -m realtime.loadtest URL``.
"""
