"""The conformance prober: which requests are sent to a server, and how, so that every requirement can be observed."""
