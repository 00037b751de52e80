"""The HTTP API of the gateway: tokens, and staff's view of the cluster."""
