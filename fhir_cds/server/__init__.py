"""The HTTP service: CDS Hooks, `$apply` and a FHIR API over the guideline content."""
