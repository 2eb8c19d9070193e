# SPDX-License-Identifier: Apache-2.0
"""Waiting for something to become true, never longer than a deadline."""
import time

DEADLINE_S = 30  # generous: sanitizers on two busy cores; only a failing test waits so long
_POLL_S = 0.01


class DeadlineExceeded(AssertionError):
    """What was waited for did not come."""


class Deadline:
    """A point in time that several waits share."""

    def __init__(self, after_s=DEADLINE_S):
        self._at = time.monotonic() + after_s

    def left_s(self):
        return max(0.0, self._at - time.monotonic())

    def check(self, what):
        """Raises when it has passed. what: a string, or a function that makes one only then."""
        if self.left_s() == 0:
            raise DeadlineExceeded("waited in vain for " + (what() if callable(what) else what))


def until(condition, what, after_s=DEADLINE_S):
    """Calls condition until it returns something true, and returns that."""
    deadline = Deadline(after_s)
    while True:
        value = condition()
        if value:
            return value
        deadline.check(what)
        time.sleep(_POLL_S)
