"""From Redis ingress to the streams: what other services publish becomes messages of the channel layer."""
