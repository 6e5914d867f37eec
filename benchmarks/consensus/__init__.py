"""The whole consensus for one record, beside cql-execution."""
