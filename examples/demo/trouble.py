"""What can go wrong in the demo: each message says what happened and what to do."""


class Trouble(Exception):
    """The demo cannot go on."""


class ActFailed(Exception):
    """An act did not show what it is there to show. The next one is played all the same."""


class NoAnswer(Exception):
    """A request got no answer: nothing was promised."""
