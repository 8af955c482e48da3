"""A parser of HTML tables and addresses."""

from html.parser import HTMLParser


class Cells(HTMLParser):
    """Collects table rows and the addresses of images."""

    def __init__(self):
        super().__init__()
        self.rows, self.addresses, self._cell = [], [], False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._cell:
            self.rows[-1][-1] += data
