"""A patient's record and the ways it comes in: files, prefetch, a FHIR server."""
