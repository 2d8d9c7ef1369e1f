"""Audit of one split's annotations, without its images.

    python experiments/data/audit/run.py ROOT SPLIT

Writes audit.json and the pictures into a folder named after the split, beside this file.
"""

import sys
from pathlib import Path

from supernet.data import load_crowdpose
from supernet.data.audit import report as audit

root, split = sys.argv[1:]
dataset = load_crowdpose(root, split, verify="none")
print(audit(dataset, Path(__file__).parent / split, pixels=False).summary())
