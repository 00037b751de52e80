"""Entry of ``python -m ginforge.supervisor``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from ginforge.lifeline import follow_parent
from ginforge.supervisor.development import Development
from ginforge.supervisor.plan import CannotRun, prepare_environment
from ginforge.supervisor.supervisor import ChildFailed


def main() -> int:
    """Run until Ctrl-C or SIGTERM (exit code 0), or until a child is given up (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m ginforge.supervisor", description=__doc__)
    parser.add_argument("--follow-parent", action="store_true", help="stop when the starting process dies")
    if parser.parse_args().follow_parent:
        follow_parent()
    try:
        return asyncio.run(_run())
    except (CannotRun, ChildFailed) as error:
        sys.stderr.write(f"ginforge: {error}\n")
        return 1
    except KeyboardInterrupt:  # before the handlers were in place
        return 130


async def _run() -> int:
    development = Development(prepare_environment())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, development.request_stop)
    await development.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
