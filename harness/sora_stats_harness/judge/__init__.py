"""From the bytes of a response to findings and a verdict."""
