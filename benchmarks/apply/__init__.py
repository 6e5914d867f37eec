"""$apply beside HAPI FHIR."""
