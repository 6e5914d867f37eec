"""UCUM against the reference implementation that the pinned translator brings along (Node.js)."""

import json
import os
import random
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from fhir_cds.cql.runtime import quantity, ucum, ucum_units
from fhir_cds.cql.runtime.quantity import Quantity

ROOT = Path(__file__).parents[4]
NODE_MODULES = Path(os.environ.get("FHIR_CDS_NODE_MODULES", ROOT / "node_modules"))
SCRIPT = """
const ucum = require(process.argv[1]).UcumLhcUtils.getInstance();
const pairs = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(pairs.map(([from, to]) => {
  const answer = ucum.convertUnitTo(from, 7, to);
  return answer.status === "succeeded" ? answer.toVal : null;
})));
"""
# Where the reference has the values of UCUM before 2.2 (Avogadro's number, physical constants), or is known to be off.
OTHER = {"mol", "u", "eV", "[e]", "[h]", "[k]", "[m_e]", "[m_p]", "[G]", "eq", "osm", "kat", "U", "[LPF]", "Bd"}
OTHER |= {"[diop]", "[mesh_i]", "[degRe]"}


def convertible() -> list[tuple[str, str]]:
    """Return pairs of units of one dimension, bare, with prefixes, and in products."""
    random.seed(7)
    codes = [code for code in ucum._DEFINED if code not in OTHER and code not in ucum_units.ARBITRARY.split()]
    plain = [(code, unit) for code in codes if (unit := ucum.unit_of(code)) and unit.scale is None]
    pairs = [
        (one, other)
        for one, left in plain
        for other, right in random.sample(plain, 60)
        if left.dimensions == right.dimensions and one != other
    ]
    prefixed = [(f"{prefix}{code}", code) for prefix in ("m", "k", "u") for code in ("g", "L", "Pa", "J", "s", "bar")]
    special = [("Cel", "K"), ("K", "[degF]"), ("[degF]", "Cel")]
    products = [
        ("mg/dL", "g/L"),
        ("10*3/uL", "/L"),
        ("mL/min/(173.10*-2.m2)", "L/s/m2"),
        ("mmol/L", "umol/mL"),
        ("kg.m/s2", "N"),
        ("mm[Hg]", "kPa"),
        ("wk", "d"),
        ("a", "mo"),
        ("[lb_av]", "kg"),
    ]
    return [*pairs, *prefixed, *special, *products]


@pytest.mark.node
def test_conversions_agree_with_the_reference() -> None:
    """Every conversion gives the value of the reference to 9 digits."""
    library = NODE_MODULES / "@lhncbc" / "ucum-lhc"
    if not library.is_dir():
        print("The UCUM reference is not installed (fhir-cds build --install): nothing compared.")  # noqa: T201
        return
    pairs = convertible()
    done = subprocess.run(
        [shutil.which("node") or "node", "-e", SCRIPT, str(library)],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=True,
    )
    wrong = []
    for (one, other), expected in zip(pairs, json.loads(done.stdout), strict=True):
        left, right = ucum.unit_of(one), ucum.unit_of(other)
        assert left is not None
        assert right is not None
        got = float(right.from_base(left.to_base(Decimal(7))))
        if expected is None or abs(got - expected) > 1e-9 * max(abs(got), abs(expected)):
            wrong.append((one, other, got, expected))
    assert wrong == []
    assert len(pairs) > 500
    assert quantity.convert(Quantity(Decimal(37), "Cel"), "[degF]") == Quantity(Decimal("98.6"), "[degF]")
