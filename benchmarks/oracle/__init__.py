"""Our engine beside cql-execution on the same ELM and records: answers compared, differences explained or reported."""
