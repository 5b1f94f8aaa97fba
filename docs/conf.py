"""How Sphinx builds these pages into a site: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_site"))

from numpydoc.xref import DEFAULT_LINKS

from earmark import __version__

API = Path(__file__).parent / "reference" / "api.md"

project = "earmark"
author = "the earmark authors"
release = version = __version__
copyright = "the earmark authors, Apache-2.0"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "commands",
    "elsewhere",
    "links",
    "names",
]
exclude_patterns = ["_site"]
templates_path = ["_site/templates"]
nitpicky = True
highlight_language = "text"

myst_heading_anchors = 4  # the anchors that GitHub gives to headings
myst_enable_extensions = ["colon_fence", "deflist", "html_image"]
smartquotes = False  # -- stands before an option

autodoc_typehints = "none"  # numpydoc's sections say what a parameter takes
autodoc_member_order = "bysource"
autosummary_ignore_module_all = False
maximum_signature_line_length = 72
numpydoc_show_class_members = False
numpydoc_xref_param_type = True  # of a type in a docstring, the names that have a page are links
numpydoc_xref_ignore = "all"
DEFAULT_LINKS.clear()  # they lead to the documentation of Python, which is elsewhere
numpydoc_xref_aliases = {
    name.rpartition(".")[2]: f"earmark.{name}"
    for name in re.findall(r"^   ~?([\w.]*\b[A-Z]\w+)$", API.read_text(encoding="utf-8"), re.M)
}

html_theme = "furo"
html_title = f"earmark {version}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
