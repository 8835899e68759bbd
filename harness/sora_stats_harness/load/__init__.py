"""
Load: Locust users whose every response is judged.

This is the only package that imports gevent and Locust. `scenarios` choose requests, and users send them through
`load_session` and `http_connection`. `load_run` controls a run, with the users of this process or with `workers`, each
of which runs `worker`. `worker_results` makes one verdict of the results of many workers, and `capacity` searches for
rates.
"""
