"""JSON in and out: decimals keep their digits, faults say where they are.

FHIR requires that `1.10` stays `1.10` (R4 §2.24.0.1 decimal), so numbers with a fraction or exponent are read as
`decimal.Decimal` and written back as they came. Whole numbers are `int`.

    >>> decode(b'{"value": 1.10}')
    {'value': Decimal('1.10')}
    >>> encode({"value": decode("1.10")})
    b'{"value":1.10}'
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from fhir_cds.errors import InputError

MAX_NUMBER_CHARS: Final = 64  # far above the 18 digits FHIR asks for; a longer number is an attack or a fault
MAX_EXPONENT: Final = 400  # above IEEE double's range; int(Decimal("1E999999999")) would eat the memory

_SHORT: Final = 4  # a number of so few characters has an exponent of two digits at most
_TOO_LARGE: Final = "a number has too many digits or too large an exponent"
_BOM: Final = b"\xef\xbb\xbf"
_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")


def _decimal(text: str) -> Decimal:
    size = len(text)
    if size <= _SHORT:
        return Decimal(text)
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal itself holds
        raise ValueError(_TOO_LARGE) from None
    if size > MAX_NUMBER_CHARS or abs(value.adjusted()) > MAX_EXPONENT:
        raise ValueError(_TOO_LARGE)
    return value


_DECODER: Final = msgspec.json.Decoder(float_hook=_decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def decode(
    data: bytes | bytearray | str, *, where: str | None = None, limit: int | None = None, unique_keys: bool = False
) -> Any:
    """Return the JSON value in `data` (UTF-8, a byte order mark is allowed).

    `where` names the source (file, parameter) in errors; `limit` is the greatest size accepted, in bytes;
    `unique_keys` also refuses an object that holds a key twice (JSON leaves open which one counts, RFC 8259 §4) at the
    price of a second, slower pass: for files, not for the hot path.
    Raises InputError with line and column; the message never quotes the data.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if limit is not None and len(raw) > limit:
        raise InputError(f"larger than the limit of {limit} bytes", where=where)
    raw = raw.removeprefix(_BOM)
    if not raw or raw.isspace():
        raise InputError("empty: JSON expected", where=where)
    try:
        value = _DECODER.decode(raw)
    except RecursionError:
        raise InputError("nested too deeply", where=where) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(_describe(error, raw), where=where) from None
    if unique_keys:
        _refuse_repeated_keys(raw, where)
    return value


def decode_lines(
    data: bytes | bytearray | str, *, where: str | None = None, limit: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for each line of NDJSON that is not blank; faults name the line."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    if limit is not None and len(raw) > limit:
        raise InputError(f"larger than the limit of {limit} bytes", where=where)
    for number, line in enumerate(raw.removeprefix(_BOM).splitlines(), start=1):
        if line.strip():
            place = f"{where or 'NDJSON'} line {number}"
            try:
                yield number, decode(line)
            except InputError as error:
                raise InputError(error.message, where=place) from None


def encode(value: Any) -> bytes:
    """Return `value` as compact JSON: keys in the order given, decimals with all their digits."""
    return _ENCODER.encode(value)


def decode_own_lines(text: bytes) -> list[Any]:
    """Return the values in what `encode_lines` gave."""
    return _DECODER.decode_lines(text)


def encode_lines(values: Sequence[Any]) -> bytes:
    """Return the values as NDJSON: each as `encode` gives it, with a line feed after it."""
    return _ENCODER.encode_lines(values)


def encode_pretty(value: Any) -> bytes:
    """Return `value` as JSON for people and files: two spaces, a final newline."""
    return msgspec.json.format(_ENCODER.encode(value), indent=2) + b"\n"


def canonical(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys: equal values give equal bytes, whatever order their keys came in."""
    return _SORTED.encode(value)


_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


def _describe(error: Exception, raw: bytes | bytearray) -> str:
    if isinstance(error, msgspec.ValidationError):  # how msgspec hands on what the float hook raised
        return str(error).split(" - at ")[0]
    if isinstance(error, UnicodeDecodeError):
        return "not JSON: not UTF-8"
    text = str(error)
    found = _AT_BYTE.search(text)
    at = int(found.group(1)) if found else len(raw)
    line = raw.count(b"\n", 0, at) + 1
    column = at - (raw.rfind(b"\n", 0, at) + 1) + 1
    reason = _AT_BYTE.sub("", text).replace("JSON is malformed:", "").strip()
    return f"not JSON: {reason[:1].lower()}{reason[1:]} at line {line}, column {column}"


def _refuse_repeated_keys(raw: bytes | bytearray, where: str | None) -> None:
    def pairs(items: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in items:
            if key in seen:
                raise InputError(f'the key "{key}" stands twice in one object', where=where)
            seen.add(key)

    try:
        json.loads(raw, object_pairs_hook=pairs, parse_float=str, parse_int=str)
    except RecursionError:
        raise InputError("nested too deeply", where=where) from None
