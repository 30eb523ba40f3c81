"""Links with something to say -> at most ten messages a second to the page, from one thread for the whole kernel.

Sending costs 0.65 ms of the thread that does it (a comm message is JSON, signed and copied), which is too dear for the
training thread; and a page that gets more than ten messages a second spends its time on decoding, not on drawing.
"""

from __future__ import annotations

import threading
import time
import warnings
from typing import Protocol

MESSAGE_SECONDS = 0.1
"""Least time between two messages, over all links."""
LOOK_SECONDS = 0.25
"""Time after which links are asked again although nobody woke the thread: a status may have changed."""


class Peer(Protocol):
    """Whoever has something to send."""

    def flush(self, now: float) -> bool:
        """Sends at most one message; True if it did. ``now`` is monotonic seconds."""

    def close(self) -> None:
        """Lets go of everything; called when sending failed."""


class Publisher:
    """Round-robin over peers in a daemon thread that exists while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._peers: list[Peer] = []
        self._woken = False
        self._thread: threading.Thread | None = None

    def add(self, peer: Peer) -> None:
        """Serves this peer from now on."""
        with self._changed:
            if peer not in self._peers:
                self._peers.append(peer)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="graphscope-publisher", daemon=True)
                self._thread.start()
            self._woken = True
            self._changed.notify()

    def remove(self, peer: Peer) -> None:
        """Serves it no more; the thread ends with the last one."""
        with self._changed:
            if peer in self._peers:
                self._peers.remove(peer)
            self._changed.notify()

    def wake(self) -> None:
        """Something is there to be sent."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._woken:
                    self._changed.wait(LOOK_SECONDS)
                self._woken = False
                if not self._peers:
                    self._thread = None
                    return
                peers = list(self._peers)
            for peer in peers:
                if self._flush(peer):
                    # Whoever has sent goes to the end of the line, so that one busy link does not starve the others.
                    with self._changed:
                        if peer in self._peers:
                            self._peers.append(self._peers.pop(self._peers.index(peer)))
                        self._woken = True
                    time.sleep(MESSAGE_SECONDS)
                    break

    def _flush(self, peer: Peer) -> bool:
        try:
            return peer.flush(time.monotonic())
        except Exception as error:
            # A closed kernel socket, or a bug of ours: training and the other views go on.
            self.remove(peer)
            peer.close()
            warnings.warn(
                f"GraphScope: a view is no longer updated ({type(error).__name__}: {error}). "
                "Display the session again to get a new one.",
                RuntimeWarning,
                stacklevel=2,
            )
            return False


PUBLISHER = Publisher()
"""The kernel's one publisher."""
SEND_LOCK = threading.Lock()
"""Held while a message goes out: the thread that got a command sends the reply, the publisher everything else."""
