"""The rules: a registry of requirements, and one module for each family of checks."""
