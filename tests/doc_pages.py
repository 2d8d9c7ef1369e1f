"""What the documentation shows: its commands, its files, its links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDS = sorted((ROOT / "experiments").rglob("*.md"))
CONFIGS = sorted((ROOT / "conf").rglob("*.yaml"))
_COMMAND = re.compile(r"(?:python -m|torchrun [^`]*? -m) ((?:supernet|search|subnets)\.[a-z_]+)([^`\n]*)")
# Up to a comment or the sentence around it; quoted parts as they are.
_ARGUMENTS = re.compile(r"(?:'[^']*'|\"[^\"]*\"|(?!\s+#|\s\(|[,;:]\s|\s>)[^'\"])*")
_FILE = re.compile(r"^`([\w/]+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Command:
    """One command line that a page shows."""

    page: str
    module: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its overrides; `...` stands for what the reader fills in."""
        return [word for word in shlex.split(self.text) if "=" in word and "..." not in word]

    def __str__(self) -> str:
        return f"{self.page}: {self.module} {self.text}"


def commands(page: Path) -> list[Command]:
    """Every command of this toolkit on `page`, continued lines joined and comments dropped."""
    text = re.sub(r"\\\n[#\s]*", " ", page.read_text())
    name = str(page.relative_to(ROOT))
    found = []
    for module, rest in _COMMAND.findall(text):
        words = _ARGUMENTS.match(rest)[0].strip()  # type: ignore[index]
        found.append(Command(name, module, words if words.endswith("...") else words.rstrip(".:")))
    return found


def files(page: Path) -> dict[str, str]:
    """The files that `page` shows whole: a line with the name first and a colon last, then the text."""
    return dict(_FILE.findall(page.read_text()))


def write_files(page: Path, folder: Path) -> None:
    """Write them into `folder`."""
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def shell_lines(page: Path, heading: str) -> list[str]:
    """The lines of the first `sh` block that follows `heading`."""
    block = re.search(rf"^#+ {re.escape(heading)}$.*?^```sh\n(.*?)^```", page.read_text(), re.M | re.S)
    assert block, f"{page.name} has no commands under {heading!r}"
    return [line.partition(" #")[0].strip() for line in block[1].splitlines() if line.strip()]


def python_blocks(page: Path) -> list[str]:
    """Its Python snippets that are no file."""
    shown = set(files(page).values())
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    return [block for block in found if block not in shown]


def links(page: Path) -> list[str]:
    """Relative links, without anchors."""
    found = [target.partition("#")[0] for target in _LINK.findall(page.read_text())]
    return [target for target in found if target and "://" not in target]
