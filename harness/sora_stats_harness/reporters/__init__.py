"""From a verdict to something that a person, a CI server or another program reads; pure functions of one report each."""
