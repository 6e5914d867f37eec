"""Value sets as plain sets of (system, code)."""
