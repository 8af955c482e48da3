"""The configuration of Sphinx, which builds the documentation site: `make docs`."""

import zo_dno

project = "zo-dno"
author = "The zo-dno authors"
copyright = "the zo-dno authors"
release = version = zo_dno.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "zo-dno"
html_show_sourcelink = False
napoleon_use_ivar = True


def _plain(app, what, name, obj, options, lines):
    """Escape stars and bars: the only markup in the docstrings is backquotes."""
    lines[:] = [line.replace("*", r"\*").replace("|", r"\|") for line in lines]


def _accessible(app, page, template, context, doctree):
    """Give code that scrolls a place among what the Tab key reaches, and the captions of the navigation their level."""
    for name in ("body", "furo_navigation_tree"):
        text = context.get(name) or ""
        context[name] = text.replace("<pre>", '<pre tabindex="0">').replace(
            'class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"'
        )


def setup(app):
    """Escape docstrings before napoleon parses Args and Returns, and complete pages after the theme has made them."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("html-page-context", _accessible, priority=900)
