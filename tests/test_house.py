"""How the package is built: imports point down, the public names are complete and documented."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_winit

PACKAGE = Path(keras_winit.__file__).parent

# A module imports from lower levels only. A file of `initializers` that is not named here holds
# one initializer.
LEVELS = {
    "_axes": 0,
    "_backends": 1,
    "_checks": 0,
    "_draws": 0,
    "_formulas": 0,
    "_plot": 0,
    "_quadrature": 0,
    "_rules._finding": 0,
    "_rules._rule": 1,
    "_rules._alike": 2,
    "_rules._data": 2,
    "_rules._size": 2,
    "_rules._units": 2,
    "_rules._kernels": 3,
    "_rules._loss": 3,
    "_rules": 4,
    "_table": 0,
    "_transaction": 1,
    "_turn": 0,
    "_wrapped_class": 0,
    "_wrapped_module": 1,
    "_whole_file": 0,
    "_chart": 1,
    "_result": 1,
    "_files": 1,
    "_terminal": 1,
    "_comparison": 2,
    "_study": 1,
    "_haar": 1,
    "_report": 2,
    "_statistics": 2,
    "_layers._told": 0,
    "_layers._kernels": 1,
    "_layers._restored": 2,
    "_layers._calling": 2,
    "_layers._calls": 2,
    "_layers._weights": 3,
    "_layers": 4,
    "_choice": 5,
    "_coverage": 5,
    "_restart": 5,
    "_gains": 5,
    "_graph": 5,
    "_loss": 5,
    "_batch": 6,
    "_by_activation": 6,
    "_criticality": 6,
    "_taps": 6,
    "initializers._own_initializer": 5,
    "initializers._kernel_initializer": 6,
    "initializers._any": 8,
    "initializers._icnr": 9,
    "initializers._per_gate": 9,
    "initializers": 10,
    "initializers._aliases": 10,
    "_catalogue": 11,
    "_fill": 11,
    "_mimetic": 11,
    "_mirrored": 11,
    "_pytorch": 11,
    "_sparsity_mask": 11,
    "_strip": 12,
    "_suggest": 11,
    "_schemes": 12,
    "_plan": 13,
    "_initialize": 14,
    "_signal": 14,
    "_equalize": 15,
    "_sweep": 15,
    "_calibrate": 16,
    "_compare": 15,
    "_monitor": 15,
    "_diagnose": 17,
    "": 18,
    "_command": 19,
    "__main__": 20,
}
INITIALIZER_LEVEL = 7

# What is imported inside of functions, where it is needed and there.
OPTIONAL = {
    "_backends": {"jax", "tensorflow", "torch"},
    "_monitor": {"tensorboard"},
    "_plot": {"matplotlib"},
    "_result": {"pandas"},
    "_study": {"keras_tuner"},
}

OURS = {"Identity", "Orthogonal"}


def module_name(path):
    """Returns the name of a source file without that of the package, "" for the package."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip(".")
    )


SOURCES = {module_name(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def level(module):
    one_class = module.startswith("initializers._")
    return LEVELS.get(module, INITIALIZER_LEVEL) if one_class else LEVELS[module]


def imports(tree):
    """Yields the full name of all that a module imports, inside of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(tree):
    """Yields the modules of this package that a module imports, or imports from."""
    for name in imports(tree):
        package, _, inner = name.partition(".")
        if package == "keras_winit":
            yield inner if inner in SOURCES else inner.rpartition(".")[0]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module):
    lower = {name for name in SOURCES if level(name) < level(module)}
    assert set(imported_modules(SOURCES[module])) <= lower


@pytest.mark.parametrize("module", SOURCES)
def test_keras_and_numpy_are_all_that_is_imported(module):
    names = list(imports(SOURCES[module]))
    allowed = {"keras", "numpy", "keras_winit", *sys.stdlib_module_names, *OPTIONAL.get(module, ())}
    assert {name.partition(".")[0] for name in names} <= allowed
    assert not [name for name in names if name.startswith("keras.src")]


@pytest.mark.parametrize("module", [n for n in SOURCES if not n.startswith("_layers")])
def test_classes_of_layers_are_named_in_one_place(module):
    accesses = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(SOURCES[module])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert not [name for name in accesses if name == "keras.layers" or name.startswith("layers.")]
    assert not [name for name in imports(SOURCES[module]) if name.startswith("keras.layers")]


def public(namespace):
    return sorted(name for name in vars(namespace) if not name.startswith("_"))


@pytest.mark.parametrize("namespace", [keras_winit, keras_winit.initializers])
def test_all_is_complete_and_sorted(namespace):
    assert namespace.__all__ == public(namespace)


@pytest.mark.parametrize("name", public(keras.initializers))
def test_what_keras_has_is_here_too(name):
    same = getattr(keras_winit.initializers, name) is getattr(keras.initializers, name)
    assert same == (name not in OURS)


def test_importing_brings_in_nothing_but_this_package():
    program = """
import json, sys
import keras
before = set(sys.modules)
import keras_winit
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    command = [sys.executable, "-c", program]
    process = subprocess.run(
        command, cwd=PACKAGE.parent, check=True, stdout=subprocess.PIPE, text=True
    )
    packages = {name.partition(".")[0] for name in json.loads(process.stdout.splitlines()[-1])}
    assert "keras_winit" in packages
    assert packages - set(sys.stdlib_module_names) == {"keras_winit"}


def documented():
    """Returns the classes and functions that users of this package may touch."""
    found = {
        each
        for namespace in (keras_winit, keras_winit.initializers)
        for each in map(vars(namespace).get, namespace.__all__)
        if inspect.getmodule(each).__name__.startswith("keras_winit.") and callable(each)
    }
    return sorted(found, key=lambda each: each.__name__)


@pytest.mark.parametrize("each", documented(), ids=lambda each: each.__name__)
def test_docstring_has_a_summary_the_arguments_and_an_example(each):
    documentation = inspect.getdoc(each)
    summary, blank, *_ = documentation.splitlines()
    assert summary.endswith(".")
    assert blank == ""
    assert "\nExample:\n\n>>> " in documentation
    for argument in inspect.signature(each).parameters:
        assert argument.startswith("_") or f"\n    {argument}: " in documentation


@pytest.mark.parametrize(
    "each", list(filter(inspect.isfunction, documented())), ids=lambda each: each.__name__
)
def test_docstring_of_a_function_says_what_it_returns(each):
    nodes = ast.walk(ast.parse(inspect.getsource(each)))
    returns = any(isinstance(node, ast.Return) and node.value for node in nodes)
    assert ("\nReturns:\n" in inspect.getdoc(each)) == returns


@pytest.mark.parametrize(
    "each",
    [
        each
        for each in documented()
        if inspect.isclass(each) and issubclass(each, keras.Initializer)
    ],
    ids=lambda each: each.__name__,
)
def test_initializer_has_a_reference(each):
    assert "\nReference:\n\n- [" in inspect.getdoc(each)
