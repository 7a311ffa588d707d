"""Where tests keep files: a folder, memory, and the place that OUTLAST_TEST_FILES names, such as a bucket on S3.

The last is for whoever has one; it stays as it is but for what the tests put below it.
"""

from __future__ import annotations

import os
from pathlib import Path

from outlast.job import new_id

ELSEWHERE = os.environ.get("OUTLAST_TEST_FILES")
PLACES = ["folder", "memory", *(["elsewhere"] if ELSEWHERE else [])]


def url_of(place: str, path: Path) -> str:
    """The URL of a place of a test's own."""
    return {
        "folder": f"file:{path / 'deep' / 'files'}",
        "memory": f"memory://{path.name}-{new_id()}/files",
        "elsewhere": f"{ELSEWHERE}/{new_id()}",
    }[place]
