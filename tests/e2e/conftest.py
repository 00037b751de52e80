"""A deployment with two users, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.browser import Browser, Page
from tests.e2e.people import create_users
from tests.integration.conftest import migrated_database, start_stack  # noqa: F401  # fixtures
from tests.integration.node import chromium, install_packages
from tests.integration.stack import Stack

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give the browser; skipped (failed in CI) where there is no Chromium or Node."""
    if chromium() is None:
        pytest.skip("no Chromium on this machine (set CHROMIUM to its path)")
    install_packages()
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, migrated_database) -> Iterator[Stack]:  # noqa: F811  # a fixture
    """Give a deployment that the tests of one file share, with the users ``dev`` (superuser) and ``alice``."""
    stack = Stack(tmp_path_factory.mktemp("site"), migrated_database)
    try:
        stack.start()
        create_users(stack)
        yield stack
    finally:
        stack.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Give ``open_page(stack, **options)``; pages are closed after the test, which fails when one had errors."""
    pages: list[Page] = []

    def open_(stack: Stack, **options: object) -> Page:
        page = browser.open(stack.url, **options)
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()
