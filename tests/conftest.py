"""What the whole suite shares.

With OUTLAST_TEST_SEAM=public the suite finds a FastAPI that does not keep its exit stacks where Outlast knows them to
be, so that everything goes through FastAPI's public names alone.
"""

import gc
import os
import signal

import pytest

from tests import histories

if os.environ.get("OUTLAST_TEST_SEAM") == "public":
    from outlast.fastapi import seam

    seam.STACKS = ()


histories.load_profile()

# What a shell starts in the background is deaf to Ctrl-C, and so is all that it starts: tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What thousands of collected tests take in memory is not gone through with every collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """trio is there too, for the projects of users that tests write."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OUTLAST_STORE", "OUTLAST_WORKER", "OUTLAST_FILES"):
        monkeypatch.delenv(name, raising=False)
