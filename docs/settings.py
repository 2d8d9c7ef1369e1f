"""Write settings.md from the docstrings of the commands' settings.

python docs/settings.py
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

from supernet.runs.files import write_text

HERE = Path(__file__).resolve().parent
PAGE = HERE / "settings.md"
HEAD = """# Settings

What every setting of every command means; made from the source by `python docs/settings.py`. A command's
`--help` shows their values, and `--cfg job` shows them with the changes of a command line. `conf/` holds the
defaults.
"""
COMMAND = re.compile(r"\w+Command$")


def commands() -> dict[str, type]:
    """The settings dataclass of every command, by module."""
    scripts = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["scripts"]
    found = {}
    for target in scripts.values():
        module = target.partition(":")[0]
        loaded = importlib.import_module(module)
        if hasattr(loaded, "__path__"):
            loaded = importlib.import_module(f"{module}.__main__")
        names = vars(loaded)
        (found[module],) = (value for key, value in names.items() if COMMAND.match(key))
    return found


def meanings(settings: type) -> dict[str, str]:
    """Field name(s) -> text, from the `Attributes:` of a dataclass and of those it derives from."""
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        entries = re.split(r"^    (?=\S)", text, flags=re.MULTILINE)[1:]
        for entry in entries:
            names, _, meaning = entry.partition(": ")
            found[names.strip()] = " ".join(meaning.split())
    return found


def in_a_cell(meaning: str) -> str:
    """Text of a docstring as it stands in a Markdown table; Python's None is YAML's null."""
    plain = re.sub(r"\bNone\b", "null", meaning).replace("|", "\\|")
    return re.sub(r"(?<!\S)([^\s`]*<\w+>[^\s`]*?)(?=[.,;]?(\s|$))", r"`\1`", plain)


def nested(settings: type) -> dict[str, type]:
    """The fields that are groups of settings themselves."""
    found = {}
    for name, hint in typing.get_type_hints(settings).items():
        kinds = [hint, *typing.get_args(hint)]
        title = f"{name}.NAME" if typing.get_origin(hint) is dict else name
        found.update((title, kind) for kind in kinds if dataclasses.is_dataclass(kind))
    return found


def rows(settings: type) -> Iterator[str]:
    """The lines of one table; every field has one, alone or with its neighbours."""
    described = meanings(settings)
    fields = [field.name for field in dataclasses.fields(settings)]
    groups = nested(settings)
    told = set()
    for names, meaning in described.items():
        keys = [name.strip() for name in names.split(",")]
        told |= set(keys)
        if keys[0] in fields:
            yield f"| {', '.join(f'`{key}`' for key in keys)} | {in_a_cell(meaning)} |"
    if missing := [name for name in fields if name not in told and name not in groups]:
        raise ValueError(f"{settings.__name__} does not say what {', '.join(missing)} means")


def page() -> str:
    """The whole text."""
    parts, groups = [HEAD], dict[type, dict[str, None]]()

    def table(title: str, settings: type) -> None:
        body = "\n".join(rows(settings))
        parts.append(f"## {title}\n\n| setting | what |\n|---|---|\n{body}\n" if body else "")

    def collect(prefix: str, settings: type) -> None:
        for name, kind in nested(settings).items():
            groups.setdefault(kind, {})[f"{prefix}{name}"] = None
            collect(f"{prefix}{name}.", kind)

    for module, settings in commands().items():
        table(f"`python -m {module}`", settings)
        collect("", settings)
    for kind, names in groups.items():
        table(", ".join(f"`{name}.*`" for name in names), kind)
    return "\n".join(part for part in parts if part)


if __name__ == "__main__":
    write_text(PAGE, page())
    print(PAGE)
