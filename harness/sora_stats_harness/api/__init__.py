"""
What the API is: editions, targets, exchanges, strict JSON, HTTP/1.1 as it stands on the wire, and errors.
"""
