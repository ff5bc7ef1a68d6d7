"""Settings of the documentation site. Build it with `sphinx-build -W --keep-going -b html docs docs/_build/html`."""

import inspect
import os
from datetime import date
from importlib.metadata import metadata

from sphinx.application import Sphinx

info = metadata("sims-tools")
project = info["Name"]
author = "sims-tools developers"
copyright = f"{date.today():%Y}, {author}"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    # these change what napoleon and autodoc make, so they come last
    "scanpydoc.definition_list_typed_field",
    "scanpydoc.elegant_typehints",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}  # autosummary writes the first kind
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
default_role = "literal"
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

# Notebooks are committed with their outputs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_param = True
napoleon_use_rtype = True
typehints_defaults = "braces"
always_use_bars_union = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Links into other packages need their inventories from the internet. They are fetched where the site is published, or
# where that is asked for; elsewhere it builds without them and without a warning.
if os.environ.get("READTHEDOCS") or os.environ.get("SIMS_DOCS_INTERSPHINX"):
    intersphinx_mapping = {
        "anndata": ("https://anndata.scverse.org/en/stable/", None),
        "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/pandas-docs/stable/", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.scverse.org/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }


html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "use_download_button": False}

urls = dict(each.split(", ", 1) for each in info.get_all("Project-URL") or [])
if "Source" in urls:
    html_theme_options |= {
        "repository_url": urls["Source"],
        "path_to_docs": "docs/",
        "use_repository_button": True,
        "use_issues_button": True,
    }


def skip_borrowed(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leave out of class pages what torch, Lightning and scvi-tools lend our classes."""
    function = member.fget if isinstance(member, property) else inspect.unwrap(getattr(member, "__func__", member))
    return None if str(getattr(function, "__module__", "")).startswith("sims_tools") else True


def setup(app: Sphinx) -> None:
    """Connect what the settings cannot say."""
    app.connect("autodoc-skip-member", skip_borrowed)
