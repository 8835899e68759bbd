"""Records the exchanges of one test, for `sora-harness check` and `simulate --play`."""

from __future__ import annotations

from pathlib import Path

from ..api.exchange import Exchange
from ..recording.writer import RecordingWriter


class ExchangeRecording:
    """A test's recording. From the fixture `sora_recording`."""

    def __init__(self, recorder: RecordingWriter) -> None:
        self._recorder = recorder
        self.path: Path = recorder.path
        """The file; complete after `close`, or after the test."""
        self.exchanges: list[Exchange] = []
        """The exchanges so far, in order of receipt."""

    def add(self, exchange: Exchange) -> None:
        """Record one exchange."""
        self.exchanges.append(exchange)
        self._recorder.add_exchange(exchange)

    def close(self) -> Path:
        """End the recording now, so that the file can be read; later exchanges aren't recorded."""
        self._recorder.close()
        return self.path
