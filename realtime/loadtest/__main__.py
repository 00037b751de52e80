"""``python -m realtime.loadtest URL``: the load test without Django."""

import sys

from realtime.loadtest.cli import main

if __name__ == "__main__":
    sys.exit(main())
