"""From a verdict to something that a person, a CI server or a program reads: pure functions of one report each."""
