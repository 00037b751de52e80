"""Start the server: ``python -m ginforge.server module:application``."""

from ginforge.server.cli import GatewayCommandLine

if __name__ == "__main__":
    GatewayCommandLine.entrypoint()
