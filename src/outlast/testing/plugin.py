"""The pytest plugin, found by the package's entry point. Its fixtures come with the code that they need."""
