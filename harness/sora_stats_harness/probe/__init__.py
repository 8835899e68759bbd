"""The conformance prober: decides which requests to send to a server, and sends them, to observe every requirement."""
