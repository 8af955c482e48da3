"""A headless Chromium for tests."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
_OWN = re.compile(r"http://(127\.0\.0\.1|localhost)[:/]|data:|about:")
# A server that is restarted, perhaps in the middle of a picture, and a connection that a test cuts.
_HARMLESS = ("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION", "ERR_CONTENT_LENGTH_MISMATCH", "ERR_EMPTY_RESPONSE")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium; where there is none, skip, but fail under CI."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        reason = "needs chromium: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=[*_FLAGS])
        yield browser
        browser.close()


@contextmanager
def tab(browser: Browser, link: str, size: dict[str, int] = DESKTOP) -> Iterator[Page]:
    """Open a link as somebody new; nothing may leave this machine, and nothing may go wrong in the console."""
    context = browser.new_context(viewport=ViewportSize(width=size["width"], height=size["height"]))
    context.set_default_timeout(10_000)
    foreign, errors = [], []
    context.on("request", lambda request: None if _OWN.match(request.url) else foreign.append(request.url))
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(link)
    yield page
    context.close()
    wrong = [error for error in errors if not any(word in error for word in _HARMLESS)]
    assert not foreign, foreign
    assert not wrong, wrong
