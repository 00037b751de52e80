"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;! ]", entry)[0].lower().replace("_", "-") for entry in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_host_and_no_local_path(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert [line for line in lines if re.search(r"://|^-(i|f|-)|\s@\s|\.whl", line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE))
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_production_runs_the_versions_that_were_tested() -> None:
    tested = pins("requirements-dev.txt")
    assert {name: version for name, version in pins("requirements.txt").items() if tested.get(name) != version} == {}


def test_the_lock_holds_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    production = names([*project["project"]["dependencies"], *extras["gateway"]])
    everything = production.union(*(names(group) for group in [*extras.values(), *groups.values()]))
    assert production <= set(pins("requirements.txt"))
    assert everything <= set(pins("requirements-dev.txt"))


def test_the_example_environment_lists_every_variable_the_settings_read() -> None:
    settings = "".join(path.read_text() for path in (ROOT / "ginforge").glob("settings*.py"))
    read = set(re.findall(r"""env(?:\.\w+)?\(\s*"([A-Z_]+)""", settings))
    listed = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    internal = {"ENV_FILE", "DEVELOPMENT_DIR", "CHANNEL_LAYER"}
    assert read - listed - internal == set()


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert targets == described
