# SPDX-License-Identifier: Apache-2.0
"""Work beside a test."""

import threading


class Background(threading.Thread):
    """result() hands over what the work returned, or raises what it raised."""

    def __init__(self, work, *args, **named):
        super().__init__(daemon=True)
        self._work, self._answer, self._error = lambda: work(*args, **named), None, None
        self.start()

    def run(self):
        try:
            self._answer = self._work()
        except BaseException as error:
            self._error = error

    def result(self, timeout=60):
        self.join(timeout)
        assert not self.is_alive(), f"still at work after {timeout} s"
        if self._error:
            raise self._error
        return self._answer
