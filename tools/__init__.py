"""The workshop: what builds and proves the course, and is no part of the package."""
