"""Where files of a store lie that many machines share."""

import io

import pytest

from outlast import TaskQueue
from outlast.errors import OptionRefused


def read(file: io.BufferedReader) -> None: ...


def test_a_database_has_no_place_for_files_beside_it_and_says_what_to_name(url: str, tmp_path) -> None:
    """Break it: in files_url, take a database for a file."""
    (tmp_path / "upload").write_bytes(b"content")
    queue = TaskQueue(store=url, worker="external")

    with (tmp_path / "upload").open("rb") as file, pytest.raises(OptionRefused, match="files='s3://"):
        queue.enqueue(read, file)

    assert queue.ask(lambda store: store.find()) == []
    queue.close()
