"""How the package is built: imports point down, the public names are complete and documented."""

import ast
import functools
import graphlib
import inspect
import json
import re
import subprocess
import sys
import typing
from pathlib import Path

import keras
import pytest

import keras_winit

PACKAGE = Path(keras_winit.__file__).parent

# A room is a folder of the package, or a module that lies in none. What is in it imports from rooms
# on lower floors only, and within a room no imports go in circles.
FLOORS = (
    ("_axes", "_checks", "_keras_private", "_large_arrays", "_references", "_turn", "typing"),
    ("_backends", "_random", "_show"),
    ("_activations",),
    ("_network",),
    ("initializers",),
    ("_measure", "constraints"),
    ("_calibrate", "_inherit", "_learning_rates", "_plan", "_strip"),
    ("_compare", "_diagnose", "_revive"),
    ("callbacks", "results"),
    ("",),
    ("_cli",),
    ("__main__",),
)

# What is imported inside of functions, where it is needed and there. Keras comes with rich.
OPTIONAL = {
    "_backends": {"jax", "tensorflow", "torch"},
    "_compare.study": {"keras_tuner"},
    "_show.plot": {"matplotlib"},
    "_show.result": {"pandas"},
    "_show.terminal": {"rich"},
    "callbacks": {"tensorboard"},
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


def room(module):
    return module.partition(".")[0]


def floor(module):
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


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
    others = {name for name in imported_modules(SOURCES[module]) if room(name) != room(module)}
    assert others <= {name for name in SOURCES if floor(name) < floor(module)}


def test_imports_go_in_no_circles():
    graph = {module: set(imported_modules(tree)) - {module} for module, tree in SOURCES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises where they do


@pytest.mark.parametrize("module", SOURCES)
def test_keras_and_numpy_are_all_that_is_imported(module):
    names = list(imports(SOURCES[module]))
    allowed = {"keras", "numpy", "keras_winit", *sys.stdlib_module_names, *OPTIONAL.get(module, ())}
    if room(module) in ("_cli", "__main__"):
        allowed.add("_keras_winit_command")
    assert {name.partition(".")[0] for name in names} <= allowed
    assert not [name for name in names if name.startswith("keras.src")]


def test_the_entry_of_the_command_imports_the_package_in_one_function_alone():
    folder = PACKAGE.with_name("_keras_winit_command")
    trees = [ast.parse(path.read_text()) for path in folder.glob("*.py")]
    names = [name for tree in trees for name in imports(tree)]
    others = [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
    ours = [name for name in others if not name.startswith("_keras_winit_command")]
    assert sorted(ours) == ["keras_winit._cli.commands", "shtab"]


def is_of_self(node):
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def used(tree):
    """Yields the names that a module reads or writes on other objects than `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not is_of_self(node):
            yield node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"getattr", "setattr", "hasattr", "delattr"}:
                yield from (each.value for each in node.args[1:2] if isinstance(each, ast.Constant))


def defined(tree):
    """Yields the names that the classes of a module give to methods, fields and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if is_of_self(node):
                yield node.attr


def hidden(names):
    return {name for name in names if re.match(r"_(?!_|keras_winit_)", name)}


DEFINED = {name for tree in SOURCES.values() for name in defined(tree)}


@functools.cache
def of_keras():
    """Returns the names that objects of Keras have, among which some of ours are by chance."""
    cell = keras.layers.LSTMCell(2)
    tensor = keras.Input((4, 3))
    model = keras.Model(tensor, keras.layers.MultiHeadAttention(2, 2)(tensor, tensor))
    return {name for each in (cell, tensor, model, *model.layers) for name in dir(each)}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - {"_keras_private"}))
def test_what_others_keep_private_is_used_in_one_module(module):
    tree = SOURCES[module]
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert hidden(own) <= DEFINED
    assert hidden(used(tree)) <= DEFINED - of_keras()
    # What Keras makes of an attribute that is set is passed by there alone as well.
    assert not [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "vars"
    ]


# Which activation a layer of Keras is, and what a layer of Keras does.
KNOW_LAYERS = {name for name in SOURCES if room(name) == "_network"} | {"_activations.identify"}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - KNOW_LAYERS))
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
        if callable(each) and inspect.getmodule(each).__name__.startswith("keras_winit.")
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


SPECIAL = ("__init__", "__call__", "__getitem__", "__setitem__", "__iter__", "__len__")


def functions(public):
    """Yields a function, or its overloads, and of a class what it has of this package."""
    if inspect.isfunction(public):
        yield from typing.get_overloads(public) or [public]
    elif inspect.isclass(public):
        ours = [cls for cls in public.__mro__ if cls.__module__.startswith("keras_winit")]
        for name, value in (item for cls in ours for item in vars(cls).items()):
            if not name.startswith("_") or name in SPECIAL:
                value = getattr(value, "fget", getattr(value, "__func__", value))
                yield from functions(value) if inspect.isfunction(value) else ()


def inside(hint):
    """Yields a type and all types that it is made of."""
    yield hint
    for each in typing.get_args(hint):
        yield from inside(each)


PARTS = [vars(keras_winit.results)[name] for name in keras_winit.results.__all__]


@pytest.mark.parametrize("each", [*documented(), *PARTS], ids=lambda each: each.__name__)
def test_types_are_said_of_all_arguments_fields_and_results(each):
    found = [typing.get_type_hints(each)] if inspect.isclass(each) else []
    for function in functions(each):
        found.append(typing.get_type_hints(function))
        names = inspect.signature(function).parameters.keys() - {"self", "cls"}
        assert found[-1].keys() >= {*names, "return"}, function
    for hint in (hint for hints in found for each in hints.values() for hint in inside(each)):
        assert hint not in (tuple, list, dict, type), f"{hint} of what?"


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
