"""Sarcoma guidelines as FHIR R4 PlanDefinitions with CQL logic, served over CDS Hooks and `$apply`."""

__version__ = "0.1.0"
