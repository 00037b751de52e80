"""The HTTP edge: ``/api/v1/{user,merchant,admin,files}/…`` to the services behind the gateway (docs/proxy.md)."""
