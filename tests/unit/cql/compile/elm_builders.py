"""ELM written by hand: the names it needs everywhere."""

NOW = "2020-06-15T12:00:00.000+00:00"
SYSTEM = "{urn:hl7-org:elm-types:r1}"
FHIR = "{http://hl7.org/fhir}"
CS = "http://example.org/cs"
CURRENT = {"type": "Current"}


def named(name: str) -> dict[str, str]:
    """Return a named type specifier."""
    return {"type": "NamedTypeSpecifier", "name": name}
