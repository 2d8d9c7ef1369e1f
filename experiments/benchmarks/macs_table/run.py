"""Architectures per second on one core: the table, the closed form, and fvcore, side by side.

OMP_NUM_THREADS=1 taskset -c 0 python experiments/benchmarks/macs_table/run.py
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis

from subnets import Subnet
from supernet import Arch, SearchSpace
from supernet.cost import MacsTable, ParamsTable, count_macs, network_cost
from supernet.family import layers
from supernet.memory import MemoryTable
from supernet.runs.files import write_json

ROWS = 200_000
ROUNDS = 7


def per_second(number: int, work: Callable[[], object]) -> dict[str, float]:
    """Things per second of wall and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {
        "wall": number / (time.perf_counter() - wall),
        "processor": number / max(time.process_time() - processor, 1e-9),
    }


def fvcore_macs(arch: Arch) -> int:
    """What a tracer counts for one architecture."""
    net = Subnet(arch, 14).eval()
    with torch.no_grad():
        counter = FlopCountAnalysis(net, torch.zeros(1, 3, arch.resolution, arch.resolution))
        return int(counter.unsupported_ops_warnings(False).by_operator()["conv"])


def closed_form(archs: list[Arch]) -> list[int]:
    """One architecture after the other, nothing remembered from before."""
    for known in (layers, network_cost):
        known.cache_clear()
    return [count_macs(arch) for arch in archs]


def measure(name: str) -> dict[str, object]:
    """Rates on one space; the ways take turns, and the medians of their rounds are kept."""
    space = SearchSpace.load(name)
    codes = np.unique(space.sample_codes(np.random.default_rng(0), ROWS + 1000), axis=0)[:ROWS]
    np.random.default_rng(1).shuffle(codes)
    start = time.perf_counter()
    table = MacsTable(space)
    building = time.perf_counter() - start
    params, memory = ParamsTable(space), MemoryTable(space, 14)
    few = space.decode(codes[:1000])
    assert closed_form(few) == table.predict(codes[:1000]).tolist()
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "MacsTable.predict": (len(codes), lambda: table.predict(codes)),
        "ParamsTable.predict": (len(codes), lambda: params.predict(codes)),
        "MemoryTable.predict": (len(codes), lambda: memory.predict(codes)),
        "count_macs": (len(few), lambda: closed_form(few)),
        "fvcore": (2, lambda: [fvcore_macs(arch) for arch in few[:2]]),
    }
    rounds = [{way: per_second(*call) for way, call in ways.items()} for _ in range(ROUNDS)]
    return {
        "genes": len(space.genes),
        "distinct_codes": len(codes),
        "table_built_in_s": building,
        **{
            way: {clock: float(np.median([r[way][clock] for r in rounds])) for clock in ("wall", "processor")}
            for way in ways
        },
    }


def main() -> None:
    """Measure both spaces and write the record."""
    torch.set_num_threads(1)
    record = {
        "schema": 1,
        "unit": "architectures per second, one core, median of 7 rounds",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        **{name: measure(name) for name in ("litepose", "litepose_expand")},
    }
    print(record)
    write_json(Path(__file__).with_name("result.json"), record)


if __name__ == "__main__":
    main()
