import pytest

from tests.support.browser import chromium


@pytest.fixture(scope="package")
def browser():
    """One browser for all tests of this folder; each test opens a context of its own."""
    with chromium() as found:
        yield found
