"""The rules of the repository, the tests of the kernel, and journeys across plugins."""
