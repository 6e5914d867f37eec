"""Tools for guideline authors: build, lint, format, run cases, mutate, write sheets, package."""
