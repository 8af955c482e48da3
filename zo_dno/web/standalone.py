"""The server of a function as one file, which needs nothing of this package."""

import ast
import importlib.util
from pathlib import Path

from zo_dno.version import __version__

_MAIN = "zo_dno.web.standalone_server"
_VERSION = 'ZO_DNO = "source"'


def standalone_source() -> str:
    """Return the text of the file: the modules of the server, each in the place where it is first imported."""
    return _joined(_MAIN, set()).replace(_VERSION, f'ZO_DNO = "{__version__}"')


def _joined(module: str, done: set[str]) -> str:
    """Return the text of a module with the modules of this package that it imports."""
    done.add(module)
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text(encoding="utf-8")
    lines, tree = text.splitlines(keepends=True), ast.parse(text)
    for node in reversed(tree.body):
        place = slice(node.lineno - 1, node.end_lineno)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zo_dno."):
            assert node.module is not None
            lines[place] = [] if node.module in done else [f"\n\n{_joined(node.module, done)}\n\n"]
        elif module != _MAIN and (node is tree.body[0] or _is_future(node)):
            lines[place] = []
    return "".join(lines).strip("\n") + ("\n" if module == _MAIN else "")


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
