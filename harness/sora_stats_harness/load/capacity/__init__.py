"""
Capacity searches, and statistics about the cost of requests, without sockets.

Measurements come in through narrow interfaces, so that every decision can be tested with made-up servers.
"""
