"""Sphinx configuration: the pages of docs/, README.md, CHANGELOG.md and the API reference made from docstrings.

Build with ``python -m sphinx -W -E -c docs . build/docs``. The source folder is the root of the repository, so that the
links of every page, README.md included, are resolved as a reader of the repository follows them.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

import i2i

project = "i2i"
version = release = i2i.__version__
copyright = "the i2i authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "docs/*.md"]
exclude_patterns = [".*", "build", "dist", "runs", "i2i-demo", "i2i", "tests", "tools", "weights"]  # not searched: fast

html_theme = "alabaster"  # comes with Sphinx
html_title = "i2i"
html_theme_options = {"description": "Image-to-image translation", "page_width": "1100px", "sidebar_width": "240px"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_show_sphinx = False

default_role = "literal"  # `text` is code in docstrings, as in Markdown
autodoc_preserve_defaults = True  # a default as it is written, not its repr
autodoc_member_order = "groupwise"
python_maximum_signature_line_length = 100

myst_heading_anchors = 3
myst_url_schemes = ("http", "https", "mailto")


def setup(app: Sphinx) -> None:
    # Napoleon reads the first line of an attribute's docstring, "text: more", as "type: description".
    app.connect("autodoc-process-docstring", comment_first_line, priority=100)
    app.connect("env-check-consistency", require_public_names)


def comment_first_line(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Insert an empty comment before the docstring of an attribute or property."""
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]


def require_public_names(app: Sphinx, env: Any) -> None:
    """Warn, which fails the build, about each public name of ``i2i`` that no page documents."""
    documented = env.domains.python_domain.objects
    for name in i2i.__all__:
        if f"i2i.{name}" not in documented and not name.startswith("__"):
            getLogger(__name__).warning("i2i.%s is public and no page documents it", name)
