"""The client other services import, and stored notifications."""
