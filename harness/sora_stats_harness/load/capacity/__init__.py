"""
How much a server bears, and what asking it costs: searches and statistics, without sockets.

What is measured comes in through narrow interfaces, so that every decision can be tried against made-up servers.
"""
