"""The REST API under ``/api/v1/notifications/``; views only translate, ``notifications.services`` decides."""
