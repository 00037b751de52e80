"""The Django project around the realtime gateway."""
