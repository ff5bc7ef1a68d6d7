"""The package as a whole: light to import, one direction of imports, one shape of functions."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sims_tools as sims

SOURCE = Path(sims.__file__).parent
ROOMS = ("cli", "confidence", "data", "get", "models", "nn", "pl", "pp", "stores", "studies", "tl")
PUBLIC = ("data", "get", "models", "nn", "pl", "pp", "tl")

# --- import -----------------------------------------------------------------------------------------------------------


def run(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, in an empty folder that is also the home."""
    env = {
        "HOME": str(cwd),
        "PATH": "/usr/bin:/bin",
        "MPLCONFIGDIR": str(cwd.parent),
        "NUMBA_CACHE_DIR": str(cwd.parent),
    }
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_importing_it_is_light_and_silent_and_changes_nothing(home):
    done = run(
        """
        import logging, sys, warnings
        filters, handlers, level = list(warnings.filters), list(logging.root.handlers), logging.root.level
        import sims_tools
        assert warnings.filters == filters
        assert logging.root.handlers == handlers and logging.root.level == level
        assert not [name for name in logging.root.manager.loggerDict if name.startswith("sims")]
        heavy = {"torch", "scanpy", "scvi", "matplotlib", "anndata", "pandas", "numpy", "lightning", "sklearn"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        assert {"tl", "pl", "pp", "get", "data", "models"} <= set(dir(sims_tools))
        assert sims_tools.__version__
        """,
        home,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("room", ["tl", "pl"])
def test_a_room_loads_in_silence_and_leaves_no_file(home, room):
    """`pl` must not load the training libraries."""
    done = run(
        f"""
        import logging, sys
        import sims_tools
        sims_tools.{room}
        assert "{room}" != "pl" or not {{"scvi", "lightning", "torch"}} & set(sys.modules)
        assert not logging.getLogger("sims_tools").handlers
        """,
        home,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


def test_the_version_is_that_of_the_distribution():
    assert sims.__version__ == importlib.metadata.version("sims-tools")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", sims.__version__)


def test_the_metadata_say_what_a_user_needs():
    found = importlib.metadata.metadata("sims-tools")
    assert found["Name"] == "sims-tools"
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "BSD-3-Clause"
    assert found["Summary"]
    assert (SOURCE / "py.typed").is_file()
    scripts = [each for each in importlib.metadata.entry_points(group="console_scripts") if each.name == "sims-tools"]
    assert [each.value for each in scripts] == ["sims_tools.cli:main"]


def test_dependencies_are_what_is_imported():
    """What `src` imports at the top of a file is required, and the test oracle is not."""
    required = {
        re.split(r"[<>=!~\[; ]", each)[0] for each in importlib.metadata.requires("sims-tools") if "extra" not in each
    }
    names = {"sklearn": "scikit-learn", "scvi": "scvi-tools", "triton": "torch"}  # torch brings triton
    for path in SOURCE.rglob("*.py"):
        for name in _imports(path, top=True):
            root = name.split(".")[0]
            if root != "sims_tools" and root not in sys.stdlib_module_names:
                assert names.get(root, root) in required, f"{path} imports {root}"
    assert not {"pytorch-tabnet", "pytest", "dask", "distributed"} & required


def test_every_public_name_is_reachable():
    assert set(sims.__all__) == {"__version__", *PUBLIC}
    for room in PUBLIC:
        module = getattr(sims, room)
        assert isinstance(module, ModuleType)
        assert module.__doc__
        assert list(module.__all__) == sorted(
            module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
        )
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_room"):
        _ = sims.no_such_room


# --- direction of imports ---------------------------------------------------------------------------------------------

BELOW = {
    "nn": set(),
    "data": {"_validate", "_log", "_keys", "_digest", "nn"},
    "confidence": {"_validate", "_log", "_keys", "nn"},
    "models": {
        "_validate", "_log", "_keys", "_docs", "_whole_file", "_digest", "nn", "data", "confidence",
    },
    "stores": {"_validate", "_log", "_keys", "_whole_file", "__version__", "data"},
    "studies": {"_validate", "_log", "_whole_file", "_digest", "__version__", "data", "confidence", "models"},
    "pp": {"_validate", "_log", "_keys", "_docs", "data"},
    "get": {"_validate", "_log", "_keys", "_docs", "data"},
    "pl": {"_validate", "_log", "_keys", "_docs", "data", "confidence", "models", "get"},
    "tl": {"_validate", "_log", "_keys", "_docs", "data", "confidence", "models", "stores", "studies"},
}  # fmt: skip
"""What each room may import of the package, beside itself."""


def _imports(path: Path, *, top: bool = False) -> Iterator[str]:
    """Full names of the modules a file imports; with `top` only those that its import needs."""
    package = ["sims_tools", *path.relative_to(SOURCE).parts[:-1]]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (
                [f"{origin}.{each.name}" for each in node.names]
                if origin in ("sims_tools", "torch", "joblib")
                else [origin]
            )


def _rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in _imports(path) if name.startswith("sims_tools.")}


@pytest.mark.parametrize("room", BELOW)
def test_arrows_point_down(room):
    files = sorted((SOURCE / room).rglob("*.py"))
    assert files
    for path in files:
        upward = _rooms_imported(path) - BELOW[room] - {room}
        assert not upward, f"{path.relative_to(SOURCE)} imports {sorted(upward)}"


def test_what_all_rooms_share_imports_no_room():
    for path in SOURCE.glob("_*.py"):
        if path.name != "__init__.py":
            assert not _rooms_imported(path) & set(ROOMS), path.name


def test_every_room_stands_in_the_order():
    found = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found <= set(ROOMS)
    assert set(BELOW) == set(ROOMS) - {"cli"}


def test_data_holds_no_networks():
    for path in (SOURCE / "data").rglob("*.py"):
        assert not any(name.startswith("torch.nn") for name in _imports(path)), path.name


def test_optional_libraries_are_imported_where_they_are_used():
    for path in SOURCE.rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path, top=True)} & {
            "dask",
            "distributed",
            "zarr",
            "tensorboard",
            "wandb",
            "pytorch_tabnet",
        }


def test_no_prints_no_asserts_no_pickles():
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"torch.load", "torch.save", "joblib.load", "joblib.dump", "eval", "exec"}, path
        if path.parent.name != "cli":
            assert not calls & {"print", "warnings.simplefilter", "logging.basicConfig"}, path
        assert not {name.split(".")[0] for name in _imports(path)} & {"pickle", "cloudpickle", "dill"}, path
        assert not set(_imports(path)) & {"joblib.load", "joblib.dump"}, path


# --- the shape of public functions ------------------------------------------------------------------------------------

FUNCTIONS = {
    f"{room}.{name}": getattr(getattr(sims, room), name)
    for room in ("tl", "pl", "get", "pp")
    for name in importlib.import_module(f"sims_tools.{room}").__all__
}


@pytest.fixture(params=FUNCTIONS)
def function(request: pytest.FixtureRequest) -> Any:
    return FUNCTIONS[request.param]


def _section(docstring: str, title: str) -> str:
    """Body of a numpydoc section."""
    found = re.search(
        rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-{{3,}}\n|\Z)", inspect.cleandoc(docstring), re.DOTALL | re.MULTILINE
    )
    return found[1] if found else ""


def _documented(docstring: str) -> list[str]:
    """Parameters in the order in which they are documented."""
    heads = [line for line in _section(docstring, "Parameters").splitlines() if line and not line[0].isspace()]
    return [name.strip() for head in heads for name in head.split(" : ")[0].split(",")]


def test_there_are_functions_to_look_at():
    assert {"tl.annotate", "tl.sims_train", "tl.rank_mask_genes", "pl.feature_masks", "get.mask_df"} <= set(FUNCTIONS)
    assert all(inspect.isfunction(each) for each in FUNCTIONS.values())


def test_the_cells_come_first_and_few_arguments_go_by_position(function):
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters[0].name == "adata"
    assert str(parameters[0].annotation).split(".")[-1].startswith("AnnData")
    positional = [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 3
    assert not any(
        each.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL) for each in parameters
    )


def test_everything_is_annotated(function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


def test_copy_is_a_keyword_and_off(function):
    parameters = inspect.signature(function).parameters
    if "copy" in parameters:
        assert parameters["copy"].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters["copy"].default is False
        assert str(inspect.signature(function).return_annotation) in ("AnnData | None", "AnnData | MuData | None")


def test_shared_names_have_shared_defaults(function):
    defaults = {
        "key": "sims",
        "layer": None,
        "progress_bar": True,
        "random_state": 0,
        "show": None,
        "ax": None,
        "return_fig": False,
    }
    for name, each in inspect.signature(function).parameters.items():
        if name in defaults:
            assert each.default == defaults[name], name
            assert each.kind is inspect.Parameter.KEYWORD_ONLY, name


def test_the_docstring_has_a_summary_and_every_parameter(function):
    text = inspect.cleandoc(function.__doc__)
    summary = text.split("\n\n")[0]
    assert summary.endswith(".")
    assert "\n" not in summary
    expected = [
        ("**" if each.kind is inspect.Parameter.VAR_KEYWORD else "") + each.name
        for each in inspect.signature(function).parameters.values()
    ]
    documented = _documented(text)
    assert sorted(documented) == sorted(expected)
    assert documented == expected, "documented in another order"
    assert "%(" not in text


def test_the_docstring_says_what_comes_back(function):
    if inspect.signature(function).return_annotation not in (None, "None"):
        text = inspect.cleandoc(function.__doc__)
        assert _section(text, "Returns").strip() or re.search(r"^Tell |^Whether ", text), function.__name__


def test_functions_say_where_they_live(function):
    """Pickles, tracebacks and documentation go by these."""
    assert function.__module__.startswith("sims_tools.")
    assert function.__qualname__ == function.__name__
