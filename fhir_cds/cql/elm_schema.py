"""The closed table of ELM: every node type with its allowed fields (ELM r1, expression.xsd and clinicalexpression.xsd).

A field is `name:kind`; kinds: `E` expression, `S` text, `B` boolean, `N` number, `Q` type name, `T` type specifier,
`P` date-time precision; another name is an element type, or after `E=` the expression type meant where
the JSON leaves `type` out. A final `*` marks a list, `!` a field that must be there.
A node type or field that is not in these tables is refused when a library is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_UNARY = _names("""Abs Ceiling ConvertsToBoolean ConvertsToDate ConvertsToDateTime ConvertsToDecimal ConvertsToInteger
ConvertsToLong ConvertsToQuantity ConvertsToRatio ConvertsToString ConvertsToTime DateFrom Distinct End Exists Exp
ExpandValueSet Flatten Floor IsFalse IsNull IsTrue Length Ln Lower Negate Not PointFrom Precision Predecessor
SingletonFrom Size Start Successor TimeFrom TimezoneFrom TimezoneOffsetFrom ToBoolean ToChars ToConcept ToDate
ToDateTime ToDecimal ToInteger ToList ToLong ToQuantity ToRatio ToString ToTime Truncate Upper Width""")
_BINARY = _names("""Add And CanConvertQuantity ConvertQuantity Divide EndsWith Equal Equivalent Greater GreaterOrEqual
Implies Indexer Less LessOrEqual Log Matches Modulo Multiply NotEqual Or Power StartsWith SubsumedBy Subsumes
Subtract Times TruncatedDivide Xor""")
_BINARY_WITH_DEFAULT = _names("Collapse Expand HighBoundary LowBoundary")
_BINARY_WITH_PRECISION = _names("""After Before CalculateAgeAt Contains DifferenceBetween DurationBetween Ends In
IncludedIn Includes Meets MeetsAfter MeetsBefore Overlaps OverlapsAfter OverlapsBefore ProperContains ProperIn
ProperIncludedIn ProperIncludes SameAs SameOrAfter SameOrBefore Starts""")
_NARY = _names("Coalesce Concatenate Except Intersect Union")
_AGGREGATE = _names("""AllTrue AnyTrue Avg Count GeometricMean Max Median Min Mode PopulationStdDev PopulationVariance
Product StdDev Sum Variance""")

_SPECIAL: Final[dict[str, str]] = {
    "Aggregate": "source:E! path:S iteration:E! initialValue:E",
    "AliasRef": "name:S!",
    "AnyInCodeSystem": "codes:E! codesystem:E=CodeSystemRef codesystemExpression:E",
    "AnyInValueSet": "codes:E! valueset:E=ValueSetRef valuesetExpression:E",
    "As": "operand:E! asType:Q asTypeSpecifier:T strict:B",
    "CalculateAge": "operand:E! precision:P",
    "CanConvert": "operand:E! toType:Q toTypeSpecifier:T",
    "Case": "comparand:E caseItem:CaseItem* else:E!",
    "Children": "source:E!",
    "Code": "code:S! system:E=CodeSystemRef display:S",
    "CodeRef": "name:S! libraryName:S",
    "CodeSystemRef": "name:S! libraryName:S",
    "Combine": "source:E! separator:E",
    "Concept": "code:E=Code* display:S",
    "ConceptRef": "name:S! libraryName:S",
    "Convert": "operand:E! toType:Q toTypeSpecifier:T",
    "Current": "scope:S",
    "Date": "year:E! month:E day:E",
    "DateTime": "year:E! month:E day:E hour:E minute:E second:E millisecond:E timezoneOffset:E",
    "DateTimeComponentFrom": "operand:E! precision:P!",
    "Descendants": "source:E!",
    "Descendents": "source:E!",
    "ExpressionRef": "name:S! libraryName:S",
    "Filter": "source:E! condition:E! scope:S",
    "First": "source:E! orderBy:S",
    "ForEach": "source:E! element:E! scope:S",
    "FunctionRef": "name:S! libraryName:S operand:E*",
    "IdentifierRef": "name:S! libraryName:S",
    "If": "condition:E! then:E! else:E!",
    "InCodeSystem": "code:E! codesystem:E=CodeSystemRef codesystemExpression:E",
    "InValueSet": "code:E! valueset:E=ValueSetRef valuesetExpression:E",
    "IndexOf": "source:E! element:E!",
    "Instance": "classType:Q! element:InstanceElement*",
    "Interval": "low:E lowClosedExpression:E high:E highClosedExpression:E lowClosed:B highClosed:B",
    "Is": "operand:E! isType:Q isTypeSpecifier:T",
    "Iteration": "scope:S",
    "Last": "source:E! orderBy:S",
    "LastPositionOf": "pattern:E! string:E!",
    "List": "typeSpecifier:T element:E*",
    "Literal": "valueType:Q! value:S",
    "MaxValue": "valueType:Q!",
    "Message": "source:E! condition:E code:E severity:E message:E",
    "MinValue": "valueType:Q!",
    "Now": "",
    "Null": "valueType:Q",
    "OperandRef": "name:S!",
    "ParameterRef": "name:S! libraryName:S",
    "PositionOf": "pattern:E! string:E!",
    "Property": "path:S! scope:S source:E",
    "Quantity": "value:N unit:S",
    "Query": (
        "source:AliasedQuerySource*! let:LetClause* relationship:RelationshipClause* where:E return:ReturnClause"
        " aggregate:AggregateClause sort:SortClause"
    ),
    "QueryLetRef": "name:S!",
    "Ratio": "numerator:E=Quantity! denominator:E=Quantity!",
    "Repeat": "source:E! element:E! scope:S",
    "ReplaceMatches": "operand:E*!",
    "Retrieve": (
        "dataType:Q! templateId:S idProperty:S idSearch:S contextProperty:S contextSearch:S codeProperty:S"
        " codeSearch:S codeComparator:S valueSetProperty:S dateProperty:S dateLowProperty:S dateHighProperty:S"
        " dateSearch:S includedIn:S id:E codes:E dateRange:E context:E include:IncludeElement*"
        " codeFilter:CodeFilterElement* dateFilter:DateFilterElement* otherFilter:OtherFilterElement*"
    ),
    "Round": "operand:E! precision:E",
    "Search": "path:S! scope:S source:E",
    "Slice": "source:E! startIndex:E endIndex:E",
    "Sort": "source:E! by:SortByItem*!",
    "Split": "stringToSplit:E! separator:E",
    "SplitOnMatches": "stringToSplit:E! separatorPattern:E!",
    "Substring": "stringToSub:E! startIndex:E! length:E",
    "Time": "hour:E! minute:E second:E millisecond:E",
    "TimeOfDay": "",
    "Today": "",
    "Total": "scope:S",
    "Tuple": "element:TupleElement*",
    "ValueSetRef": "name:S! libraryName:S preserve:B",
}

_ELEMENTS: Final[dict[str, str]] = {
    "AggregateClause": "identifier:S! distinct:B expression:E! starting:E",
    "AliasedQuerySource": "alias:S! expression:E!",
    "ByColumn": "path:S! direction:S!",
    "ByDirection": "direction:S!",
    "ByExpression": "expression:E! direction:S!",
    "CaseItem": "when:E! then:E!",
    "CodeFilterElement": "property:S valueSetProperty:S search:S comparator:S value:E!",
    "DateFilterElement": "property:S lowProperty:S highProperty:S search:S value:E!",
    "IncludeElement": "includeFrom:S relatedDataType:Q relatedProperty:S relatedSearch:S isReverse:B",
    "InstanceElement": "name:S! value:E!",
    "LetClause": "identifier:S! expression:E!",
    "OtherFilterElement": "property:S search:S comparator:S value:E!",
    "ReturnClause": "distinct:B expression:E!",
    "SortClause": "by:SortByItem*!",
    "TupleElement": "name:S! value:E!",
    "With": "alias:S! expression:E! suchThat:E",
    "Without": "alias:S! expression:E! suchThat:E",
}

ABSTRACT: Final[dict[str, frozenset[str]]] = {
    "RelationshipClause": frozenset({"With", "Without"}),
    "SortByItem": frozenset({"ByColumn", "ByDirection", "ByExpression"}),
}
"""Element types whose JSON must say which concrete one it is."""

COMMON: Final[frozenset[str]] = frozenset(
    {"type", "localId", "locator", "annotation", "resultTypeName", "resultTypeSpecifier", "signature"}
)
PRECISIONS: Final[frozenset[str]] = frozenset(
    {"year", "month", "week", "day", "hour", "minute", "second", "millisecond"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One allowed field of a node type."""

    name: str
    kind: str  # E S B N Q T P, or an element type
    many: bool
    required: bool
    default_type: str | None  # for E: the expression type when the JSON leaves it out


def _field(text: str) -> Field:
    name, _, kind = text.partition(":")
    required = kind.endswith("!")
    kind = kind.removesuffix("!")
    many = kind.endswith("*")
    kind, _, default = kind.removesuffix("*").partition("=")
    return Field(name, kind, many, required, default or None)


def _fields(text: str) -> tuple[Field, ...]:
    return tuple(_field(part) for part in text.split())


EXPRESSIONS: Final[Mapping[str, tuple[Field, ...]]] = {
    **dict.fromkeys(_UNARY, _fields("operand:E!")),
    **dict.fromkeys((*_BINARY, *_BINARY_WITH_DEFAULT, *_NARY), _fields("operand:E*!")),
    **dict.fromkeys(_BINARY_WITH_PRECISION, _fields("operand:E*! precision:P")),
    **dict.fromkeys(_AGGREGATE, _fields("source:E! path:S")),
    **{name: _fields(text) for name, text in _SPECIAL.items()},
}
"""Expression node type -> its fields."""

ELEMENTS: Final[Mapping[str, tuple[Field, ...]]] = {name: _fields(text) for name, text in _ELEMENTS.items()}
"""Other node types (clauses, items) -> their fields."""

ARITY: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys((*_BINARY, *_BINARY_WITH_PRECISION), (2, 2)),
    **dict.fromkeys(_BINARY_WITH_DEFAULT, (1, 2)),
    **dict.fromkeys(_NARY, (1, 1_000_000)),
    "ReplaceMatches": (3, 3),
}
"""Expression node type with an operand list -> fewest and most operands."""
