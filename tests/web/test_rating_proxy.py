"""The rating page behind a proxy, from its link to its end."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.support.browser import tab
from tests.support.proxy import proxied
from tests.support.rating import FILES, NAMES, form_of
from zo_dno.web.embed import page_cell
from zo_dno.web.rating_page import Page, origin_of

WAYS = [(False, False), (True, True)]


def served(store, folder, address, forward):
    page = Page(store, folder, public_url=address)
    page.start()
    forward(page._server.url)
    return page


@pytest.mark.parametrize(("keeps_path", "keeps_host"), WAYS, ids=["path removed", "path kept"])
def test_from_the_link_to_a_rating(store, tmp_path, keeps_path, keeps_host):
    store.post(FILES.items(), "", [("compare", NAMES[:2])])
    with proxied("/lab/rate", keeps_path=keeps_path, keeps_host=keeps_host) as (address, forward):
        page = served(store, tmp_path, address, forward)
        token = (tmp_path / "rating-token").read_text()
        assert page.link == f"{address}/?token={token}"
        with httpx2.Client(trust_env=False, follow_redirects=True) as client:
            if keeps_path:  # a link without the slash keeps its token, too
                assert str(client.get(page.link.replace("/?", "?")).url) == f"{address}/"
                client.cookies.clear()
            shown = client.get(page.link)
            assert (shown.status_code, str(shown.url)) == (200, f"{address}/")
            assert token not in shown.text
            for file in re.findall(r'(?:href|src)="([^"]+\.(?:css|js|png))"', shown.text):
                assert client.get(f"{address}/{file}").status_code == 200
            assert client.get(f"{address}/state").json()["phase"] == "task"
            assert client.get(f"{address}/here").text == page.mark
            form = form_of(shown.text) | {"choice": NAMES[1]}
            foreign = client.post(f"{address}/answer", data=form, headers={"Origin": "https://example.com"})
            assert foreign.status_code == 403
            answered = client.post(f"{address}/answer", data=form, headers={"Origin": origin_of(address)})
            assert (answered.status_code, str(answered.url)) == (200, f"{address}/")
        page.stop()
    assert [one.order.ranked for one in store.ratings()] == [(NAMES[1],)]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("keeps_path", "keeps_host"), WAYS, ids=["path removed", "path kept"])
def test_in_a_browser(browser, store, tmp_path, keeps_path, keeps_host):
    number = store.post(FILES.items(), "", [("like", NAMES[:4]), ("compare", NAMES[:2])])
    with proxied("/lab/rate", keeps_path=keeps_path, keeps_host=keeps_host) as (address, forward):
        page = served(store, tmp_path, address, forward)
        with tab(browser, page.link) as rater:
            rater.get_by_alt_text("image 2", exact=True).click()
            rater.get_by_role("button", name="Send 1 liked").click()
            expect(rater.get_by_text("1 click left")).to_be_visible()
            assert rater.url == f"{address}/"
            rater.wait_for_load_state()
            rater.keyboard.press("u")
            expect(rater.get_by_text("2 clicks left")).to_be_visible()
            rater.get_by_role("button", name="None of them").click()
            rater.get_by_label("choose image 1").click()
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            store.take(number)
            store.settle({NAMES[0]: 0.0, NAMES[1]: -1.0}, keep=[])
            page.farewell()
            expect(rater.get_by_role("heading", name="The search has ended")).to_be_visible()
        page.stop()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.org:443/rate", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("https://example.org:8443/x/", "https://example.org:8443"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("", ""),
    ],
)
def test_an_origin_is_what_browsers_send(url, origin):
    assert origin_of(url) == origin


def test_a_notebook_looks_for_the_page_below_its_path():
    assert 'new URL("here", link)' in page_cell("https://example.org/rate/?token=x", "mark")
