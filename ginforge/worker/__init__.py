"""Background jobs: a table that says what is to run and ran, Celery that runs it."""
