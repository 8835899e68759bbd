"""
Load: Locust users whose every response is judged.

The only package that imports gevent and Locust. What a user sends goes through `load_session`, which scenarios tell what to
choose and `http_connection` sends; `load_run` leads a run, with the users of this process or with `workers`, each of which
is a `worker`; `worker_results` makes one verdict of many, and `capacity` searches for rates on top of it.
"""
