"""
Recordings: exchanges on disk, so that a failure seen at night is judged again, by the same code, on a laptop.

`lines` is the format, `writer` writes it beside a run without ever holding the run up, `store` gives the lines of a
file back whatever has happened to it, and `reader` brings exchanges into the order in which they were received.
"""

from .lines import VERSION, End, Header, schema
from .reader import Recordings, Step, read
from .writer import DEFAULT_LIMIT, Recorder

__all__ = ["DEFAULT_LIMIT", "VERSION", "End", "Header", "Recorder", "Recordings", "Step", "read", "schema"]
