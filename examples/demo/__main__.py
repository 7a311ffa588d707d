"""`python -m examples.demo`: starts the demo's app, sends it requests, kills it, and counts what it accepted.

Exits with 0 when every accepted task did its work, 1 when one was lost or an act failed, 2 when the demo could not be
played, 130 when it was interrupted.
"""

import sys

CURE = "`make demo` sets up an environment that has everything, and plays the demo in it"

if sys.version_info < (3, 11):  # noqa: UP036 - the words are for those who have an older one
    sys.exit(f"The demo needs Python 3.11 or newer, and this is {sys.version.split()[0]}. {CURE}.")

try:
    from examples.demo.director import main
except ImportError as error:
    print(f"The demo cannot start with {sys.executable}: {error}. {CURE}.", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
