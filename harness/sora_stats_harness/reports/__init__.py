"""Renders a verdict for people, CI servers and programs: each format is a pure function of one report."""
