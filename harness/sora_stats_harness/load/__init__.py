"""
Load: Locust users whose every response is judged.

The only package that imports gevent and locust. From the wire upwards: `wire` (request bytes), `responses` (the parser),
`stamps` (the kernel's times), `http` (one connection), `histogram`, `metrics`, `measures` and `limits` (what is measured,
and how much is too much), `schedule` and `pacer` (when to send), `session` (what a process shares), `spec` (what is to be
done), `user` and `scenarios` (Locust's side), `plain` and `workers` (under Locust's own command, in one process and in
several), `page` and `news` (its web page), `run` (a whole run of ours), `processes` and `child` (the same in several),
`spools` and `merged` (one verdict of many), `window` and `survey` (for `capacity`).
"""
