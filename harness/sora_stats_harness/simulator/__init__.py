"""
The simulator: an embedded server of the API for use where no Sora is at hand, and made-up responses for tests.

It imports only the floor `api`, and so shares nothing with the code that judges it.
"""
