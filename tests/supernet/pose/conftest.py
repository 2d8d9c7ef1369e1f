"""What the pose tests share: the helper modules beside them and the benchmark's literal decoder."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[2]):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
