"""The runtime inside an exported folder: copies of the live modules, so that nothing is written twice."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from supernet import __version__
from supernet.heads.contract import Head

PACKAGE = "litepose_runtime"
ENTRY = "subnets.portable.main"
SCRIPT = "predict.py"
REQUIREMENTS = "requirements.txt"
# The toolkit's packages: `supernet.pose.people` becomes `<PACKAGE>.pose.people`.
_ROOTS = ("supernet", "subnets")
_NEEDS = "numpy>=1.26\nscipy>=1.11\nopencv-python-headless>=4.8\nonnxruntime>=1.18\n"
_NOTE = f'"""Part of litepose-ofa {__version__} (MIT licence): runs an exported network without torch."""\n'

_SCRIPT = f'''#!/usr/bin/env python3
"""Find people and their joints: python predict.py photo.jpg --out found

Needs numpy, scipy, opencv-python and onnxruntime (requirements.txt); see python predict.py --help.
"""

import sys
from pathlib import Path

from {PACKAGE}.portable.main import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
'''


def write_bundle(folder: Path, head: Head) -> list[str]:
    """Write `predict.py`, `requirements.txt` and the package of the runtime with a head into `folder`.

    Returns:
        the toolkit's modules that were copied.
    """
    modules = portable_modules(head)
    for name in modules:
        target = folder / PACKAGE / _relative(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_moved(_source(name).read_text(encoding="utf-8")), encoding="utf-8")
    for package in sorted({path.parent for path in (folder / PACKAGE).rglob("*.py")} | {folder / PACKAGE}):
        (package / "__init__.py").write_text(_NOTE, encoding="utf-8")
    (folder / SCRIPT).write_text(_SCRIPT, encoding="utf-8")
    (folder / REQUIREMENTS).write_text(_NEEDS, encoding="utf-8")
    return modules


def portable_modules(head: Head) -> list[str]:
    """The command of an exported folder, the head's module, and all that they import of the toolkit, sorted.

    Imports inside functions do not count: they are for files that an exported folder does not have (YAML
    layouts), for scoring, or of what the command imports anyway.
    """
    found: set[str] = set()
    # A registry names the head's module; nothing imports it.
    waiting = [ENTRY, type(head).__module__]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(name)
    return sorted(found)


def imported(name: str) -> Iterator[str]:
    """The toolkit's modules that the top level of module `name` imports."""
    for node in ast.parse(_source(name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            package = name.rsplit(".", node.level)[0] if node.level else ""
            module = ".".join(part for part in (package, node.module or "") if part)
            if module.partition(".")[0] in _ROOTS:
                yield module


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _relative(name: str) -> Path:
    return Path(*name.split(".")[1:]).with_suffix(".py")


def _moved(source: str) -> str:
    """`source` with absolute imports of the toolkit, and modules that registries name, in the package."""
    return re.sub(rf"(^from |\")(?:{'|'.join(_ROOTS)})\.", rf"\1{PACKAGE}.", source, flags=re.MULTILINE)
