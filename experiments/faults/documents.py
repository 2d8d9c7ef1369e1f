"""Seeded damage to files of text: JSON, YAML, JSON lines, tables."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from damage import MARKER, Rng, at, document, junk, pick, places, raw

DEEP = 100_000


def text(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A text file in another encoding or with marks that do not belong."""
    written = data.decode("utf-8")
    lines = written.splitlines(keepends=True) or [""]
    row = int(rng.integers(len(lines)))
    kind = int(rng.integers(11))
    if kind == 0:
        return written.encode("utf-16"), "utf-16"
    if kind == 1:
        return written.encode("utf-8-sig"), "a byte order mark"
    if kind == 2:
        return written.replace("\n", "\r\n").encode(), "CRLF"
    if kind == 3:
        return ("caf\xe9" + written).encode("latin-1", "replace"), "latin-1"
    if kind == 4:
        return written.encode("utf-32"), "utf-32"
    if kind == 5:
        lines.insert(row, lines[row])
        return "".join(lines).encode(), f"line {row} doubled"
    if kind == 6:
        lines[row] = (
            pick(rng, ["\t", "]", "}", "%", "*a", "&a", "!!python/name:os.system ", "- ", "? "]) + lines[row]
        )
        return "".join(lines).encode(), f"a mark before line {row}"
    if kind == 7:
        del lines[row]
        return "".join(lines).encode(), f"line {row} removed"
    if kind == 8:
        other = int(rng.integers(len(lines)))
        lines[row], lines[other] = lines[other], lines[row]
        return "".join(lines).encode(), f"lines {row} and {other} exchanged"
    if kind == 9:
        opening = pick(rng, ["[", '{"a":', "- "])
        return (opening * DEEP).encode(), f"{opening} without end"
    lines[row] = lines[row].replace(
        pick(rng, list(lines[row]) or [" "]), pick(rng, ["\x00", '"', ":", "é", "9" * 400]), 1
    )
    return "".join(lines).encode("utf-8", "replace"), f"a sign in line {row} replaced"


def doubled_key(rng: Rng, value: Any) -> tuple[str, str]:
    """JSON in which one key is there twice, with two values."""
    spots = [place for place in places(value) if isinstance(at(value, place[:-1]), dict)]
    if not spots:
        return json.dumps([value, value]), "the whole doubled"
    path = pick(rng, spots)
    token = "\x01here\x01"
    changed = copy.deepcopy(value)
    holder, last = at(changed, path[:-1]), path[-1]
    old = holder[last]
    new = old + 1 if isinstance(old, int | float) and not isinstance(old, bool) else junk(rng, old)
    holder[last] = token
    mark = json.dumps(token)
    both = [json.dumps(old), json.dumps(new)]
    return json.dumps(changed).replace(mark, f"{both[0]}, {json.dumps(str(last))}: {both[1]}"), (
        f"key {'.'.join(map(str, path))} doubled"
    )


def json_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A JSON file: its values, its keys, its text or its bytes."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    if draw < 0.3:
        return text(rng, data)
    value = json.loads(data)
    if draw < 0.4:
        new, what = doubled_key(rng, value)
        return new.encode(), what
    value, what = document(rng, value)
    return json.dumps(value).encode("utf-8", "surrogatepass"), what


def yaml_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A YAML file: its values, its text, its bytes, or what YAML alone can do."""
    draw = rng.random()
    if draw < 0.15:
        return raw(rng, data)
    if draw < 0.4:
        return text(rng, data)
    if draw < 0.5:
        return yaml_attack(rng, data)
    value, what = document(rng, yaml.safe_load(data))
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass"), what


def yaml_attack(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Tags that run code, aliases that grow, and values that only YAML has."""
    keys = list(yaml.safe_load(data))
    key = pick(rng, keys)
    rows = [f"a0: &a0 [{', '.join('x' * 9)}]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    attacks = {
        "a tag that runs code": f'{key}: !!python/object/apply:os.system ["touch {MARKER}"]\n',
        "a tag that names code": f"{key}: !!python/name:os.system\n",
        "aliases that grow": "\n".join(rows) + f"\n{key}: *a9\n",
        "an alias of itself": f"{key}: &self [*self]\n",
        "a date that is none": f"{key}: 2020-13-45\n",
        "_target_": f"{key}: {{_target_: os.system, command: touch {MARKER}}}\n",
        "an environment variable": f"{key}: ${{oc.env:HOME}}\n",
        "an unknown tag": f"{key}: !unknown 3\n",
        "several documents": "---\na: 1\n---\nb: 2\n",
        "octal and sexagesimal": f"{key}: 0o17\nother: 190:20:30\n",
    }
    name = pick(rng, sorted(attacks))
    rest = yaml.safe_dump({k: v for k, v in yaml.safe_load(data).items() if k != key}, sort_keys=False)
    return (rest + attacks[name]).encode(), name


def json_lines(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A file of one JSON value a line: bytes, lines, or one line's value."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    lines = data.splitlines(keepends=True)
    row = int(rng.integers(len(lines)))
    if draw < 0.35:
        kind = int(rng.integers(4))
        if kind == 0:
            del lines[row]
        elif kind == 1:
            lines.insert(row, lines[row])
        elif kind == 2:
            lines.insert(int(rng.integers(len(lines))), lines.pop(row))
        else:
            lines = lines[:row]
        return b"".join(lines), f"line {row} {('removed', 'doubled', 'moved', 'and all after it cut')[kind]}"
    if draw < 0.42:
        return text(rng, data)
    value = json.loads(lines[row])
    if draw < 0.5:
        new, what = doubled_key(rng, value)
    else:
        changed, what = document(rng, value)
        new = json.dumps(changed)
    lines[row] = new.encode("utf-8", "surrogatepass") + b"\n"
    return b"".join(lines), f"line {row}: {what}"


def table(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A CSV file (its first line may be JSON after `#`): cells, rows, columns, text or bytes."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    if draw < 0.35:
        return text(rng, data)
    lines = data.decode().splitlines()
    row = int(rng.integers(len(lines)))
    if lines[0].startswith("#") and (row == 0 or rng.random() < 0.2):
        value, what = document(rng, json.loads(lines[0][1:]))
        lines[0] = "#" + json.dumps(value)
        return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), f"head: {what}"
    if draw < 0.5:
        lines[row : row + 1] = pick(rng, [[], [lines[row]] * 2, ["", lines[row]], [lines[row] + ",1"]])
        return ("\n".join(lines) + "\n").encode(), f"row {row} removed, doubled or longer"
    cells = lines[row].split(",")
    column = int(rng.integers(len(cells)))
    cells[column] = str(
        pick(rng, ["", "x", "nan", "inf", "-1", "0", "1e300", "9" * 400, "1.5", '"', "\x00", "3;4"])
    )
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode(), f"row {row} column {column}: {cells[column][:20]!r}"
