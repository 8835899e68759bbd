"""The entry point of the pytest plugin; `testing.plugin` has its hooks and fixtures."""

from .testing.plugin import *  # noqa: F403  # pytest looks for hooks and fixtures by name in this module
