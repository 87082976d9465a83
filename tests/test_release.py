"""What has to be true of a release, and what a release leaves behind."""

import importlib.util
import re
from pathlib import Path

import pytest

import keras_winit

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")

spec = importlib.util.spec_from_file_location("check_release", ROOT / ".github/check_release.py")
check_release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_release)

SOURCE = '"""A package."""\n\n__version__ = "1.2.0"\n'
LOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2020-02-01

## [1.1.0] - 2020-01-01

[1.2.0]: https://example.com/1.2.0
"""
CITATION = "title: package\nversion: 1.2.0\ndate-released: 2020-02-01\n"


def test_what_agrees_can_be_released():
    assert list(check_release.problems("v1.2.0", SOURCE, LOG, CITATION)) == []


@pytest.mark.parametrize(
    ("index", "old", "new", "problem"),
    [
        (0, "v1.2.0", "1.2.0", "tag should be v1.2.0"),
        (1, "1.2.0", "1.2.0.dev0", "__version__ should be 1.2.0. Received: 1.2.0.dev0."),
        (2, "## [1.2.0] - 2020-02-01", "## [1.2.0]", "`## [1.2.0] - year-month-day`"),
        (2, "[1.2.0]: ", "", "a link for [1.2.0]"),
        (3, "version: 1.2.0", "version: 1.1.0", "`version: 1.2.0`"),
        (3, "2020-02-01", "2020-01-01", "`date-released: 2020-02-01`"),
    ],
)
def test_what_does_not_agree_is_told(index, old, new, problem):
    texts = ["v1.2.0", SOURCE, LOG, CITATION]
    texts[index] = texts[index].replace(old, new)
    assert problem in next(check_release.problems(*texts))


def test_versions_are_released_in_order():
    versions = [_numbers(version) for version in check_release.released(CHANGELOG)]
    assert versions == sorted(set(versions), reverse=True)
    assert _numbers(keras_winit.__version__) >= versions[0]


def test_every_version_that_was_released_left_models_to_load():
    for version in check_release.released(CHANGELOG):
        assert list(GOLDEN.glob(f"keras_winit-{version}-keras-*.keras"))


def test_citation_is_that_of_the_last_release():
    version, date = next(iter(check_release.released(CHANGELOG).items()))
    lines = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    assert {f"version: {version}", f"date-released: {date}"} <= set(lines)


def test_ruff_is_the_same_version_everywhere():
    hook = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r"ruff-pre-commit\n +rev: v(\S+)", hook).group(1)
    assert f'"ruff=={version}"' in project


def _numbers(version):
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
