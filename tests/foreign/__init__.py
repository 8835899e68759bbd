"""A correct server whose author did not write the judge's simulator, and shares nothing with it."""
