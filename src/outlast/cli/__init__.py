"""The command line: `outlast`. Its commands read and change a store through the methods of `Store`, or start processes.

`root` puts them together, a module for each group. Nothing heavy is imported before a command needs it, so that
`outlast --help` answers at once.
"""

from __future__ import annotations


def main() -> None:
    """What the `outlast` command runs. Ends the process with one of the codes of `outlast.cli.exits`."""
    from outlast.cli.root import app

    app(prog_name="outlast")
