"""The supervisor with tiny stand-in commands."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ginforge.supervisor import ChildFailed, Command, RestartPolicy, Supervisor

FAST = RestartPolicy(limit=3, window=60, base=0.01, cap=0.02)
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def python(name: str, code: str) -> Command:
    return Command(name=name, arguments=[sys.executable, "-c", code])


def is_running(pid: int | None) -> bool:
    """Say whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def supervisor(lines: list[tuple[str, str]]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(lambda name, line: lines.append((name, line)), FAST)
    yield supervisor
    supervisor.kill()
    await supervisor.stop()


async def test_lines_of_both_streams_are_forwarded_under_the_childs_name(supervisor, lines) -> None:
    code = "import sys; print('a', flush=True); print('b', file=sys.stderr, flush=True);" + SLEEP
    supervisor.start([python("one", code), python("two", code)])
    await until(lambda: len(lines) == 6)
    for name in ("one", "two"):
        assert [line for child, line in lines if child == name] == ["a", "b", "up"]


async def test_an_endless_line_is_cut_and_bytes_that_are_not_text_survive(supervisor, lines) -> None:
    code = "import sys; w = sys.stdout.buffer.write; w(b'x' * 200_000); w(b'\\n\\xff\\n');" + SLEEP
    supervisor.start([python("one", code)])
    await until(lambda: ("one", "up") in lines)
    assert ("one", "\ufffd") in lines
    assert max(len(line) for _, line in lines) <= 16_384


async def test_a_dead_child_is_started_again_and_the_others_run_on(supervisor, lines) -> None:
    supervisor.start([python("one", SLEEP), python("two", SLEEP)])
    await until(lambda: lines.count(("one", "up")) == lines.count(("two", "up")) == 1)
    before = supervisor.pids
    os.kill(before["one"], signal.SIGKILL)
    await until(lambda: lines.count(("one", "up")) == 2)
    after = supervisor.pids
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]
    assert any("one ended (killed by signal 9)" in line for _, line in lines)


async def test_too_many_deaths_end_the_run_with_the_last_lines(supervisor) -> None:
    supervisor.start([python("good", SLEEP), python("bad", "print('because of this'); raise SystemExit(3)")])
    with pytest.raises(ChildFailed) as failure:
        await supervisor.wait()
    assert "bad died 3 times" in str(failure.value)
    assert "exit code 3" in str(failure.value)
    assert "because of this" in str(failure.value)


async def test_a_command_that_does_not_exist_fails_at_once(supervisor) -> None:
    supervisor.start([Command(name="typo", arguments=["/no/such/program"])])
    with pytest.raises(ChildFailed, match="typo cannot be started"):
        await supervisor.wait()


async def test_stop_leaves_no_process_not_even_a_grandchild_or_one_that_ignores_sigterm(
    supervisor, lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginforge.supervisor.child.Child.stop.__defaults__", (0.3,))
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
    parent = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True);" + SLEEP
    )
    supervisor.start([python("stubborn", stubborn), python("parent", parent)])
    await until(lambda: ("stubborn", "up") in lines and ("parent", "up") in lines)
    grandchild = int(next(line for name, line in lines if name == "parent"))
    pids = [*supervisor.pids.values(), grandchild]
    assert all(map(is_running, pids))
    await supervisor.stop()
    await until(lambda: not any(map(is_running, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux only")
async def test_children_die_with_a_supervisor_that_was_killed() -> None:
    code = (
        "import asyncio, sys; from ginforge.supervisor import *\n"
        "async def main():\n"
        "    s = Supervisor(lambda name, line: print(s.pids['one'], flush=True))\n"
        f"    s.start([Command(name='one', arguments=[sys.executable, '-c', {SLEEP!r}])])\n"
        "    await s.wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        child = int(await asyncio.to_thread(killed.stdout.readline))
        assert is_running(child)
        killed.kill()
    await until(lambda: not is_running(child))
