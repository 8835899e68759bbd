"""
The embedded server of the API, for use where no Sora is at hand.

It imports only the edition and the errors, and so shares nothing with what judges it.
"""
