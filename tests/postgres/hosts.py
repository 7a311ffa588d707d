"""Several hosts on one machine: network namespaces, joined by a bridge on which a PostgreSQL listens.

All have one name, as containers may; none sees the other's run-time folder. Needs root on Linux and Debian's iproute2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.debian import is_root_on_linux, missing, program

_numbers = count()


@dataclass(frozen=True)
class Host:
    """A place for processes, with a network and a run-time folder of its own."""

    name: str
    cable: str
    folder: Path

    @property
    def words(self) -> list[str]:
        """What to put before a command, so that it runs there."""
        return ["ip", "netns", "exec", self.name]

    @property
    def env(self) -> Mapping[str, str]:
        return {"XDG_RUNTIME_DIR": str(self.folder)}

    def cut_off(self) -> None:
        """Nothing goes in or out any more, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def join(self) -> None:
        _ip("link", "set", self.cable, "up")

    def run(self, code: str, url: str) -> str:
        """What a Python program prints that runs there."""
        command = [*self.words, sys.executable, "-c", code, url]
        ran = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@contextmanager
def network(hosts: int) -> Iterator[tuple[str, list[Host]]]:
    """The address that all hosts reach, and the hosts."""
    if not is_root_on_linux():
        missing("hosts are network namespaces, which only root on Linux may make; as root: make hosts")
    program("ip", "iproute2")
    mark = f"{os.getpid() % 100_000}{next(_numbers)}"
    subnet = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
    bridge = f"ob{mark}"
    made: list[Host] = []
    try:
        _require_rights(bridge)
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number in range(hosts):
            folder = Path(tempfile.mkdtemp(prefix="oh"))  # the names of sockets must be short
            made.append(Host(f"outlast-{mark}-{number}", f"ov{mark}{number}", folder))
            _join(made[-1], bridge, f"{subnet}.{number + 2}/24")
        yield f"{subnet}.1", made
    finally:
        for host in made:
            _ip("netns", "delete", host.name)
            shutil.rmtree(host.folder)
        _ip("link", "delete", bridge)


def _require_rights(name: str) -> None:
    """A container's root may lack them."""
    try:
        _ip("netns", "add", name)
    except AssertionError as error:
        missing(
            f"this root may not make network namespaces ({error}); give the container the capabilities NET_ADMIN and "
            "SYS_ADMIN (--privileged)"
        )
    _ip("netns", "delete", name)


def _join(host: Host, bridge: str, address: str) -> None:
    _ip("netns", "add", host.name)
    _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _ip("link", "set", host.cable, "master", bridge, "up")
    _ip("-n", host.name, "address", "add", address, "dev", "eth0")
    _ip("-n", host.name, "link", "set", "eth0", "up")
    _ip("-n", host.name, "link", "set", "lo", "up")


def _ip(*words: str) -> None:
    ran = subprocess.run([program("ip", "iproute2"), *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr}"
