"""The WebSocket gateway: a reusable Django app on Channels."""
