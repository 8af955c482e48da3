"""What the tests of pages share."""

import pytest

from tests.support.browser import chromium
from zo_dno.judges.rating_store import RatingStore
from zo_dno.web.rating_page import Page


@pytest.fixture(scope="package")
def browser():
    """One browser for all tests of this folder; each test opens a context of its own."""
    with chromium() as found:
        yield found


@pytest.fixture
def store(tmp_path):
    return RatingStore(tmp_path / "ratings.db")


@pytest.fixture
def page(store):
    found = Page(store)
    found.start()
    yield found
    found.stop()
