"""``make run``: embedded Valkey, bridge and gateway as supervised child processes."""

from ginforge.supervisor.child import Child, Command
from ginforge.supervisor.restarts import RestartPolicy
from ginforge.supervisor.supervisor import ChildFailed, Supervisor

__all__ = ["Child", "ChildFailed", "Command", "RestartPolicy", "Supervisor"]
