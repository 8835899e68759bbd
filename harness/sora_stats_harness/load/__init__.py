"""
Load: Locust users whose every answer is judged.

The only package that imports gevent and locust. From the wire upwards: `wire` (request bytes), `answers` (the parser),
`stamps` (the kernel's times), `http` (one connection), `histogram`, `metrics` and `limits` (what is measured, and how much is
too much), `schedule` and `pacer` (when to send), `session` (what a process shares), `user` and `scenarios` (Locust's side),
`plain` and `workers` (under Locust's own command, in one process and in several), `run` (a whole run of ours).
"""
