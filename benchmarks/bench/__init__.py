"""What `benchmarks/run.py` is made of. The apps and commands of other engines are those of the tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
