"""
Recordings: exchanges on disk, so that a failure seen at night can be judged again, by the same code, on a laptop.

`format` defines the lines of a file. `writer` writes them during a run without delaying it. `input_file` reads the
lines of any file, damaged or not, and `reader` returns the exchanges in the order in which they were received.
"""
