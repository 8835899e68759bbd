"""The rules that a server is checked against, and the names that a user's own checks import: see docs/CHECKS.md."""

from ..check import Check, Observed, Stage, Violation
from ..requirement import Level, RequiredCapability, Requirement
from .user_checks import load_user_checks

__all__ = ["Check", "Level", "Observed", "RequiredCapability", "Requirement", "Stage", "Violation", "load_user_checks"]
