"""Load-testing and conformance harness for the statistics API of WebRTC SFU Sora."""

__version__ = "0.1.0"
