"""What users need to test their tasks: the fixtures of `plugin`, and their types for annotations.

`from outlast.testing import OutlastQueue`. Loaded when it is first used: pytest imports this package at its start.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.testing.queue import OutlastQueue as OutlastQueue

__all__ = ["OutlastQueue"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'outlast.testing' has no attribute {name!r}")
    from outlast.testing.queue import OutlastQueue

    return OutlastQueue
