"""
Recordings: exchanges on disk, so that a failure seen at night can be judged again, by the same code, on a laptop.

`format` has the lines of a file, `writer` writes them during a run without holding it up, `input_file` reads the lines of
any file, damaged or not, and `reader` gives the exchanges in the order in which they were received.
"""

from .format import RECORDING_FORMAT, RecordingEnd, RecordingHeader, recording_schema
from .reader import OrderedExchange, RecordingReader, open_recordings
from .writer import DEFAULT_LIMIT_BYTES, RecordedRun, RecordingLimits, RecordingWriter

__all__ = [
    "DEFAULT_LIMIT_BYTES",
    "RECORDING_FORMAT",
    "OrderedExchange",
    "RecordedRun",
    "RecordingEnd",
    "RecordingHeader",
    "RecordingLimits",
    "RecordingReader",
    "RecordingWriter",
    "open_recordings",
    "recording_schema",
]
