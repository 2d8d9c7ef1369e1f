"""The search space: the choices of every dimension, and architectures as rows of integer codes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from .errors import InputError, as_lists, check_schema, choices_of, shown
from .family import Architecture, Family, Refinement, family_named
from .heads.contract import HEAD_GENE, plain_heads, read_heads
from .layers.description import read_refinement
from .registry import require_conf
from .runs.files import read_yaml, write_yaml

Codes = npt.NDArray[np.int64]
SCHEMA = 1


@dataclass(frozen=True)
class Gene:
    """One dimension of a space.

    Attributes:
        name: dotted name (`resolution`, `stages.0.width`, `stages.0.kernel.3`, `head.1`, `fusion.0`).
        choices: ascending values; a code is an index into them.
        kind: what it decides: `resolution`, `width`, `depth`, `kernel`, `expansion`, `switch` (0 or 1), or a
            family's own.
        where: the piece of the network that it shapes, in words (`stage 1`).
        stage: number of the stage it belongs to, or None.
        block: the block of that stage whose choice it is, or None.
        depth: name of the gene by which its block exists: where that is at most `block`, it does not.
        label: for messages and reports; default `where` and `kind`.
        implied: whether it has no column in codes, since its one choice goes without saying.
        names: what files call the choices, where these are places among them.
    """

    name: str
    choices: tuple[int, ...]
    kind: str
    where: str = ""
    stage: int | None = None
    block: int | None = None
    depth: str | None = None
    label: str = ""
    implied: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", f"{self.where} {self.kind}".strip())

    def shown(self, value: int) -> Any:
        """A value as its file has it."""
        return self.names[value] if self.names else bool(value) if self.kind == "switch" else value


class SearchSpace:
    """The architectures that one supernet holds; families derive from it, as frozen dataclasses.

    Codes are rows of G gene indices. Genes of blocks beyond a row's depth are 0, so that equal architectures
    have equal codes.

    Attributes:
        name: short name.
        family: name of the family of its networks.
        resolution: their input sides in pixels, ascending.
        head_kinds: their heads.
        refinement: what refines the map that the heads start from, the same in all; None for none.
    """

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...
        @property
        def family(self) -> str: ...
        @property
        def resolution(self) -> tuple[int, ...]: ...
        @property
        def head_kinds(self) -> tuple[str, ...]: ...
        @property
        def refinement(self) -> Refinement | None: ...
    else:
        head_kinds = ("embedding",)
        refinement = None

    def to_dict(self) -> dict[str, Any]:
        """The plain form that `from_dict` reads."""
        raise NotImplementedError

    def values_of(self, arch: Any) -> dict[str, int]:
        """The value of every dimension of an architecture, in their order."""
        raise NotImplementedError

    def arch_of(self, values: Mapping[str, int]) -> Architecture:
        """The architecture with these values; those of absent blocks are ignored."""
        raise NotImplementedError

    def _dimensions(self) -> Iterable[Gene]:
        """The genes in the order of the codes, with those that are implied."""
        raise NotImplementedError

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> SearchSpace:
        """Read a space by its name in `conf/spaces` or from a YAML file.

        Raises:
            InputError: no such name or file, or a choice is missing, doubled or of the wrong type.
        """
        path = require_conf("spaces", source, "space")
        value = read_yaml(path, "space")
        try:
            return cls.from_dict(value, default_name=path.stem)
        except InputError as error:
            raise InputError(f"space {path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Any, default_name: str = "custom") -> SearchSpace:
        """Build a space of any family from its plain form; one that names no family is LitePose's.

        Raises:
            InputError: a choice is missing, doubled or of the wrong type.
        """
        return family_named(value).read_space(value, default_name)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the YAML form to `path` atomically."""
        write_yaml(path, self.to_dict())

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The dimensions, in the order of the codes."""
        return tuple(gene for gene in self.dimensions.values() if not gene.implied)

    @property
    def head_gene(self) -> Gene:
        """Which head, by its place among them; where there is one, it goes without saying."""
        places, names = tuple(range(len(self.head_kinds))), self.head_kinds
        return Gene(HEAD_GENE, places, "head", label="head kind", implied=len(names) == 1, names=names)

    @cached_property
    def gene_index(self) -> dict[str, int]:
        """Column of each gene's name."""
        return {gene.name: index for index, gene in enumerate(self.genes)}

    @cached_property
    def num_choices(self) -> Codes:
        """(G,) number of choices of each gene."""
        return np.array([len(gene.choices) for gene in self.genes], dtype=np.int64)

    def size(self) -> int:
        """Exact number of different architectures."""
        total = math.prod(len(gene.choices) for gene in self.genes if gene.depth is None)
        for depth, columns, alive in self._gated:
            counts = [len(self.genes[column].choices) for column in columns]
            rows = [math.prod(n for n, on in zip(counts, row, strict=True) if on) for row in alive.tolist()]
            total = total // len(self.genes[depth].choices) * sum(rows)
        return total

    def largest(self) -> Any:
        """The architecture with the largest choice everywhere."""
        return self.decode(self.canonical(self.num_choices[None] - 1))[0]

    def smallest(self) -> Any:
        """The architecture with the smallest choice everywhere."""
        return self.decode(np.zeros((1, len(self.genes)), dtype=np.int64))[0]

    def middle(self) -> Any:
        """The architecture with the middle choice everywhere (the lower of two)."""
        return self.decode(self.canonical((self.num_choices[None] - 1) // 2))[0]

    def contains(self, arch: Architecture) -> bool:
        """Whether `arch` is one of this space's architectures."""
        return self.mismatch(arch) is None

    def mismatch(self, arch: Architecture) -> str | None:
        """The first value of `arch` that is not a choice here, in words; None if it is contained."""
        own = (("family", (self.family,)), ("head_kind", self.head_kinds), ("refinement", (self.refinement,)))
        for key, known in own:
            if getattr(arch, key) not in known:
                return f"{key} {getattr(arch, key)} is not {' or '.join(map(str, known))}"
        for name, value in self.values_of(arch).items():
            gene = self.dimensions.get(name)
            if gene is None:
                return f"{name} {value} has no place"
            if value not in gene.choices:
                return f"{gene.label} {gene.shown(value)} is not one of {list(map(gene.shown, gene.choices))}"
        return None

    @cached_property
    def dimensions(self) -> dict[str, Gene]:
        """The genes by name, with those that are implied."""
        return {gene.name: gene for gene in self._dimensions()}

    def require(self, arch: Architecture) -> None:
        """Raise InputError, naming the value that is no choice here, unless `arch` is contained."""
        if (reason := self.mismatch(arch)) is not None:
            raise InputError(f"architecture is not in space {self.name!r}: {reason}")

    def sample(self, rng: np.random.Generator) -> Any:
        """One architecture, every choice uniform."""
        return self.decode(self.sample_codes(rng, 1))[0]

    def sample_codes(self, rng: np.random.Generator, n: int) -> Codes:
        """(n, G) codes, every choice uniform."""
        return self.canonical(rng.integers(0, self.num_choices, size=(n, len(self.genes))))

    @cached_property
    def _gated(self) -> list[tuple[int, list[int], npt.NDArray[np.bool_]]]:
        """Per gene of depth: its column, those of the genes of its blocks, and (choice, gene) whether the
        gene's block exists.
        """
        found = []
        for column, gene in enumerate(self.genes):
            if gated := [i for i, other in enumerate(self.genes) if other.depth == gene.name]:
                blocks = np.array([self.genes[i].block for i in gated])
                found.append((column, gated, blocks < np.array(gene.choices)[:, None]))
        return found

    def active(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """(N, G) whether each gene has an effect: False for genes of blocks beyond the depth."""
        mask = np.ones(codes.shape, dtype=bool)
        for depth, columns, alive in self._gated:
            start, stop = columns[0], columns[-1] + 1  # mostly neighbours, which a slice reaches faster
            where: Any = slice(start, stop) if stop - start == len(columns) else columns
            mask[:, where] = alive[codes[:, depth]]
        return mask

    def canonical(self, codes: Codes) -> Codes:
        """`codes` with the genes of absent blocks set to 0."""
        return np.where(self.active(codes), codes, 0)

    def encode(self, archs: Sequence[Architecture]) -> Codes:
        """(N, G) codes of `archs`.

        Raises:
            InputError: one is not in the space.
        """
        codes = np.zeros((len(archs), len(self.genes)), dtype=np.int64)
        for row, arch in zip(codes, archs, strict=True):
            self.require(arch)
            for name, value in self.values_of(arch).items():
                if (column := self.gene_index.get(name)) is not None:
                    row[column] = self.genes[column].choices.index(value)
        return codes

    def decode(self, codes: Codes) -> list[Any]:
        """The architectures of (N, G) codes.

        Raises:
            InputError: wrong number of columns, or a code outside its gene's choices.
        """
        self.check_codes(codes)
        implied = {name: gene.choices[0] for name, gene in self.dimensions.items() if gene.implied}
        pairs = [(gene.name, gene.choices) for gene in self.genes]
        return [
            self.arch_of(
                implied | {name: choices[code] for (name, choices), code in zip(pairs, row, strict=True)}
            )
            for row in codes.tolist()
        ]

    def neighbours(self, code: Codes) -> Iterator[tuple[int, Codes]]:
        """(column, (G,) code) of every other choice of every gene of the (G,) code, one at a time."""
        for column, count in enumerate(self.num_choices.tolist()):
            for choice in (place for place in range(count) if place != code[column]):
                changed = code.copy()
                changed[column] = choice
                yield column, self.canonical(changed[None])[0]

    def check_codes(self, codes: Codes) -> None:
        """Raise InputError unless `codes` is (N, G), integer, and every code one of its gene's choices."""
        genes, what = len(self.genes), f"codes of space {self.name!r}"
        if not isinstance(codes, np.ndarray):
            raise InputError(f"{what} are an integer array, found {type(codes).__name__}")
        if codes.ndim != 2 or codes.shape[1] != genes or not np.issubdtype(codes.dtype, np.integer):
            raise InputError(f"{what} are integers of shape (N, {genes}), found {codes.dtype} {codes.shape}")
        if len(codes) and (codes.min() < 0 or (codes.max(axis=0) >= self.num_choices).any()):
            raise InputError(f"codes are outside the choices of space {self.name!r}")


@dataclass(frozen=True)
class FieldSpace(SearchSpace):
    """A space by the fields of a description: choices in the place of each number, a gene for each.

    The kind of a gene is the name of its field, or `width` where that is none of the usual kinds.

    Attributes:
        name, family, head_kinds, refinement: see `SearchSpace`.
        arch: the description, a dataclass of integers and tuples of integers.
        choices: per field, the choices of its number or of each of its numbers.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("resolution", "depth", "kernel", "expansion", "switch")

    name: str
    family: str
    arch: type[Architecture]
    choices: tuple[tuple[str, Any], ...]
    head_kinds: tuple[str, ...]
    refinement: Refinement | None = None

    @classmethod
    def read(cls, family: SearchableFamily, value: Mapping[str, Any], default_name: str) -> FieldSpace:
        """Build one from its plain form: that of a description, with choices for each number.

        Raises:
            InputError: a choice is missing, doubled or of the wrong type, or a side the family cannot take.
        """
        check_schema(value, SCHEMA)
        heads = read_heads(value.get("head_kind", default_head(family.arch)))
        refinement = read_refinement(value.get("refinement"))
        other = ("schema", "family", "name", "head_kind", "refinement")
        named = {key: _field_choices(item, key) for key, item in value.items() if key not in other}
        name, choices = str(value.get("name", default_name)), tuple(named.items())
        space = cls(name, family.name, family.arch, choices, heads, refinement)
        # Reads a description, whose keys these are then.
        whole = {"head_kind": heads[0], "refinement": value.get("refinement")}
        first = {key: c[0] if isinstance(c[0], int) else [each[0] for each in c] for key, c in named.items()}
        family.arch.from_dict(first | {key: item for key, item in whole.items() if key in value})
        choices_of(space.resolution, "resolution", multiple_of=family.step(space.largest()))
        return space

    @property
    def resolution(self) -> tuple[int, ...]:
        """Input sides in pixels."""
        return tuple(dict(self.choices)["resolution"])

    def to_dict(self) -> dict[str, Any]:
        own = {key: as_lists(item) for key, item in self.choices}
        usual = self.head_kinds == (default_head(self.arch),)
        head = {} if usual else {"head_kind": plain_heads(self.head_kinds)}
        own |= {} if self.refinement is None else {"refinement": self.refinement.to_dict()}
        return {"schema": SCHEMA, "family": self.family, "name": self.name, **own, **head}

    def _dimensions(self) -> Iterator[Gene]:
        for key, item in self.choices:
            kind = key if key in self.KINDS else "width"
            if isinstance(item[0], int):
                yield Gene(key, item, kind, label=key)
            else:
                for i, choices in enumerate(item):
                    yield Gene(f"{key}.{i}", choices, kind, label=f"{key} {i + 1}")
        yield self.head_gene

    def values_of(self, arch: Any) -> dict[str, int]:
        values: dict[str, int] = {}
        for key, _ in self.choices:
            value = getattr(arch, key)
            values |= (
                {key: value} if isinstance(value, int) else {f"{key}.{i}": v for i, v in enumerate(value)}
            )
        return values | {HEAD_GENE: self.head_kinds.index(arch.head_kind)}

    def arch_of(self, values: Mapping[str, int]) -> Architecture:
        own: dict[str, Any] = {
            key: values[key]
            if isinstance(item[0], int)
            else tuple(values[f"{key}.{i}"] for i in range(len(item)))
            for key, item in self.choices
        }
        whole = {"head_kind": self.head_kinds[values[HEAD_GENE]], "refinement": self.refinement}
        own |= {field.name: whole[field.name] for field in fields(self.arch) if field.name in whole}
        return self.arch(**own)


class SearchableFamily(Family):
    """A family with a search space; by default that of its description's fields.

    Attributes:
        arch: the class of its descriptions.
    """

    arch: ClassVar[type[Architecture]]

    def read(self, value: Mapping[str, Any]) -> Architecture:
        return self.arch.from_dict(value)

    def read_space(self, value: Mapping[str, Any], default_name: str) -> SearchSpace:
        return FieldSpace.read(self, value, default_name)


def default_head(arch: type[Architecture]) -> str:
    """The head of descriptions of this class that name none."""
    return str(vars(arch).get("head_kind", Architecture.head_kind))


def _field_choices(value: Any, what: str) -> Any:
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{what}: expected a list of choices, found {shown(value)}")
    if not isinstance(value[0], list | tuple):
        return choices_of(value, what)
    return tuple(choices_of(item, f"{what} {i}") for i, item in enumerate(value, start=1))
