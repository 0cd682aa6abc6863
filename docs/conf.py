"""The site: README, notebooks as committed, pages of claims and the library's reference. `make docs` builds it.

The source folder is the repository, so that links mean here what they mean in it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Coded ResNeXt"
author = "The coded-resnext contributors"
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "bare_tables", "local_math", "public_names"]
include_patterns = [
    "*.md", "docs/**.md", "docs/reference.rst", "notebooks/*.ipynb", "figures/**.md", "data/paper/README.md",
    "scripts/gpu/README.md",
]  # fmt: skip
root_doc = "docs/index"

suppress_warnings = ["myst.header"]  # pages of figures go from the title to the figures

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "local"
autodoc_typehints = "description"
autodoc_member_order = "bysource"

default_role = "literal"  # docstrings have names in single backticks

html_theme = "furo"
html_static_path, html_css_files = ["static"], ["site.css"]
html_extra_path = ["root"]  # the way in: index.html
html_title = project
html_show_sourcelink = False
html_copy_source = False
