"""FHIR R4 as plain JSON values: codec, references, Bundles, element paths, timing."""
