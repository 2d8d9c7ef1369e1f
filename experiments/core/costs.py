"""Audit: MACs in closed form, from the table and by fvcore, on random architectures at their own resolution.

python experiments/core/costs.py            # writes costs.json beside this file
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from rich.progress import track

from subnets import Subnet
from supernet import Arch, SearchSpace
from supernet.cost import MacsTable, count_macs, count_params
from supernet.runs.files import write_json

SPACES = ("litepose", "litepose_expand")


def fvcore_convolutions(net: Subnet, resolution: int) -> int:
    """fvcore's count for convolutions and transposed convolutions, from a traced run."""
    images = torch.zeros(1, 3, resolution, resolution)
    counter = FlopCountAnalysis(net, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(counter.by_operator()["conv"])


def audit(arch: Arch, table: int) -> dict[str, object]:
    """One architecture's metrics and whether they agree."""
    net = Subnet(arch, 14).eval()
    counted = fvcore_convolutions(net, arch.resolution)
    closed = count_macs(arch)
    params = sum(parameter.numel() for parameter in net.parameters())
    return {
        "arch": arch.to_official(),
        "fvcore": counted,
        "count_macs": closed,
        "table": table,
        "params": params,
        "equal": counted == closed == table and params == count_params(arch),
    }


def main() -> None:
    """Audit and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=300, help="architectures per space")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, object] = {"schema": 1, "seed": options.seed, "torch": torch.__version__}
    for name in SPACES:
        space = SearchSpace.load(name)
        codes = space.sample_codes(np.random.default_rng(options.seed), options.number)
        tables = MacsTable(space).predict(codes).tolist()
        with torch.no_grad():
            pairs = list(zip(space.decode(codes), tables, strict=True))
            rows = [audit(arch, table) for arch, table in track(pairs, description=name)]
        macs = [int(row["fvcore"]) for row in rows]  # type: ignore[call-overload]
        record[name] = {
            "architectures": len(rows),
            "equal": sum(bool(row["equal"]) for row in rows),
            "smallest_macs": min(macs),
            "largest_macs": max(macs),
            "rows": [
                {key: row[key] for key in ("fvcore", "count_macs", "table", "params", "equal")}
                for row in rows
            ],
        }
        print(name, len(rows), "audited,", record[name]["equal"], "equal")  # type: ignore[index]
    write_json(Path(__file__).with_name("costs.json"), record, indent=None)


if __name__ == "__main__":
    main()
