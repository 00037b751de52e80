"""The same real deployments as in tests/integration."""

from tests.integration.conftest import migrated_database, own_stack, pytest_runtest_makereport, stack, start_stack

__all__ = ["migrated_database", "own_stack", "pytest_runtest_makereport", "stack", "start_stack"]
