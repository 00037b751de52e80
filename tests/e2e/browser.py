"""A real, headless Chromium that tests drive from Python, through Playwright in Node (``tests/js/page_driver.mjs``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from ginforge.lifeline import die_with_parent
from tests.integration.node import JS, chromium


class BrowserError(AssertionError):
    """What a page was asked to do did not work."""


class Browser:
    """One browser; each ``open`` is a person of their own (cookies, storage)."""

    def __init__(self) -> None:
        path = chromium()
        assert path is not None
        self._process = subprocess.Popen(
            ["node", str(JS / "page_driver.mjs")],
            cwd=JS,
            env={**os.environ, "CHROMIUM": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )

    def ask(self, command: str, **options: Any) -> Any:
        """Run one command; raises ``BrowserError`` with Playwright's words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the browser is gone"
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(f"{command} {options}: {answer['error']}")
        return answer["result"]

    def open(self, base: str, **options: Any) -> Page:
        """Open a page of a new person; ``options`` are Playwright's (``colorScheme``, ``viewport``, ``locale``)."""
        return Page(self, self.ask("open", **options), base)

    def close(self) -> None:
        """End the browser."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Page:
    """One page; selectors are Playwright's and mean the first match."""

    def __init__(self, browser: Browser, number: int, base: str) -> None:
        self._browser = browser
        self._number = number
        self.base = base

    def goto(self, path: str) -> None:
        """Load a path of the gateway."""
        self._call("goto", self.base + path)

    def fill(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._locator(selector, "fill", text)

    def click(self, selector: str) -> None:
        """Click."""
        self._locator(selector, "click")

    def select(self, selector: str, value: str) -> None:
        """Choose an option by its value or label."""
        self._locator(selector, "selectOption", value)

    def text(self, selector: str) -> str:
        """Return an element's text."""
        return str(self._locator(selector, "innerText"))

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        self.evaluate("0")
        self._locator(":focus", "press", key)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        return self._call("evaluate", expression)

    def wait(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        self._browser.ask("wait", page=self._number, expression=expression)

    def offline(self, offline: bool = True) -> None:
        """Take the network away, or give it back."""
        self._browser.ask("offline", page=self._number, offline=offline)

    def screenshot(self, path: Path) -> None:
        """Save what the whole page looks like."""
        self._call("screenshot", {"path": str(path), "fullPage": True})

    def problems(self) -> list[str]:
        """Uncaught errors and console errors so far; a breach of the content policy is one."""
        return list(self._browser.ask("problems", page=self._number))

    def serious_axe_issues(self) -> list[dict[str, Any]]:
        """What axe finds that is serious or critical."""
        found = self._browser.ask("axe", page=self._number)
        return [issue for issue in found if issue["impact"] in ("serious", "critical")]

    def close(self) -> None:
        """Close the page and forget the person."""
        self._browser.ask("close", page=self._number)

    def _call(self, method: str, *args: Any) -> Any:
        return self._browser.ask("call", page=self._number, method=method, args=list(args))

    def _locator(self, selector: str, method: str, *args: Any) -> Any:
        return self._browser.ask("locator", page=self._number, selector=selector, method=method, args=list(args))
