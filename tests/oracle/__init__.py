"""What the judge is held against: slow, obvious references, seeded generators, and mutants."""
