"""What one test exchanged, as a recording that `sora-harness check` judges again and `simulate --play` plays."""

from __future__ import annotations

from pathlib import Path

from ..api.exchange import Exchange
from ..recording.writer import RecordingWriter


class ExchangeRecording:
    """A test's recording. From the fixture `sora_recording`."""

    def __init__(self, recorder: RecordingWriter) -> None:
        self._recorder = recorder
        self.path: Path = recorder.path
        """The file; whole after `close`, or when the test is over."""
        self.exchanges: list[Exchange] = []
        """What was exchanged until now, in order of receipt."""

    def add(self, exchange: Exchange) -> None:
        """Record one exchange."""
        self.exchanges.append(exchange)
        self._recorder.add_exchange(exchange)

    def close(self) -> Path:
        """End the recording now, so that the file may be read; what comes later isn't recorded."""
        self._recorder.close()
        return self.path
