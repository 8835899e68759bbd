"""
Recordings: exchanges on disk, so that a failure seen at night is judged again, by the same code, on a laptop.

`lines` is the format, `writer` writes it beside a run without ever holding the run up, `store` gives the lines of a
file back whatever has happened to it, and `reader` brings exchanges into the order in which they were received.
"""

from .format import FORMAT_VERSION, RecordingEnd, RecordingHeader, recording_schema
from .reader import OrderedExchange, RecordingReader, open_recordings
from .writer import DEFAULT_LIMIT_BYTES, RecordingWriter

__all__ = [
    "DEFAULT_LIMIT_BYTES",
    "FORMAT_VERSION",
    "OrderedExchange",
    "RecordingEnd",
    "RecordingHeader",
    "RecordingReader",
    "RecordingWriter",
    "open_recordings",
    "recording_schema",
]
