"""
Recordings: exchanges on disk, so that a failure seen at night can be judged again, by the same code, on a laptop.

`format` has the lines of a file, `writer` writes them during a run without holding it up, `input_file` reads the lines of
any file, damaged or not, and `reader` gives the exchanges in the order in which they were received.
"""
