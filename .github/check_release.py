"""Whether what is about to be released says the same of its version everywhere.

`python .github/check_release.py v1.2.3` compares a tag with the package, the changelog and the
citation, prints what is wrong, and then exits with 1.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def released(changelog):
    """Returns the versions of a changelog with their dates, the last one first."""
    return dict(re.findall(r"^## \[(\d\S*)\] - (\d{4}-\d{2}-\d{2})$", changelog, re.MULTILINE))


def package_version(source):
    """Returns the version that a package has, by its source."""
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)


def problems(tag, source, changelog, citation):
    """Yields a sentence for each text that does not suit the tag."""
    version = tag.removeprefix("v")
    if tag != f"v{version}":
        yield f"The tag should be v{version}. Received: {tag}."
    if package_version(source) != version:
        yield f"__version__ should be {version}. Received: {package_version(source)}."
    date = released(changelog).get(version)
    if date is None:
        yield f"The changelog should have a heading `## [{version}] - year-month-day`."
    if f"\n[{version}]: " not in changelog:
        yield f"The changelog should have a link for [{version}], at its end."
    for line in (f"version: {version}", f"date-released: {date or 'year-month-day'}"):
        if line not in citation.splitlines():
            yield f"CITATION.cff should have the line `{line}`."


if __name__ == "__main__":
    files = ("keras_winit/__init__.py", "CHANGELOG.md", "CITATION.cff")
    found = list(problems(sys.argv[1], *((ROOT / file).read_text("utf-8") for file in files)))
    print("\n".join(found) or f"{sys.argv[1]} can be released.")
    sys.exit(bool(found))
