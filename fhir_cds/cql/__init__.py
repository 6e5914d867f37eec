"""CQL in Python: ELM compiled to Python source once, evaluated in-process for one patient at a time.

from fhir_cds.cql import Program

program = Program.load([elm_document], {"http://example.org/ValueSet/x": [("http://snomed.info/sct", "123")]})
evaluation = program.evaluate(resources, now="2026-01-31T00:00:00+00:00")
evaluation.value("MyLibrary", "My Define")
"""

from fhir_cds.cql.evaluate import DEFAULT_BUDGET, Evaluation
from fhir_cds.cql.index import Retrieve
from fhir_cds.cql.jsonvalue import to_json
from fhir_cds.cql.library import DefineInfo, LibraryInfo, Program
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.uncertainty import Uncertainty

__all__ = [
    "DEFAULT_BUDGET",
    "Code",
    "CodeSystem",
    "Concept",
    "Date",
    "DateTime",
    "DefineInfo",
    "Evaluation",
    "Interval",
    "LibraryInfo",
    "Long",
    "Program",
    "Quantity",
    "Ratio",
    "Retrieve",
    "Time",
    "Uncertainty",
    "ValueSet",
    "to_json",
]
