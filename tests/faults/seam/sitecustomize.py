"""Found by an interpreter that a campaign starts: puts the hooks in place before all else."""

import os
from pathlib import Path

if "FAULT_SWITCHES" in os.environ:
    from tests.faults.hooks import install

    install(Path(os.environ["FAULT_SWITCHES"]))
