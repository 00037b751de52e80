"""What the figures depend on."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def describe() -> dict[str, str]:
    """Return processor, cores, memory, kernel, and the load before the run."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": os.uname().release,
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"
