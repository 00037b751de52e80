"""The example of an admin service."""
