"""The supervisor's side of the handover, where there is nothing to hand over."""

from __future__ import annotations

import selectors
from pathlib import Path
from typing import Any, cast

from outlast.premises import Premises
from outlast.target import Target
from outlast.worker.relay import Relay
from outlast.worker.settings import Settings


def test_a_worker_that_hands_nothing_over_asks_no_store_what_to_offer(tmp_path: Path) -> None:
    """It would with each turn. Break it: in Relay.offer, ask whatever is handed over."""
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    target = Target("app", None, False, (), str(tmp_path))
    settings = Settings(url=url, target=target, children=1, slots=1)
    relay = Relay(settings, "worker", Premises(url), selectors.DefaultSelector(), lambda *_: None)
    no_store = cast("Any", None)

    assert relay.offer(no_store) == []
