"""
Load: Locust users whose every answer is judged.

The only package that imports gevent and locust. From the wire upwards: `wire` (request bytes), `answers` (the parser),
`stamps` (the kernel's times), `http` (one connection), `histogram` and `metrics` (what is measured), `schedule` and
`pacer` (when to send), `directory` (whom to ask), `station` (a run's state), `user` and `scenarios` (Locust's side),
`run` (a whole run).
"""
