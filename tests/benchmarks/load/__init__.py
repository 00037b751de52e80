"""The load: runs in processes of its own, away from the servers' core, and is told what to do through a pipe."""

from tests.benchmarks.load.remote import LoadFailed, RemoteLoad

__all__ = ["LoadFailed", "RemoteLoad"]
