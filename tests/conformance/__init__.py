"""The conformance pages of docs/guide, made from the tests that carry the ids of a checklist."""

from . import apply, cds_hooks

CHECKLISTS = (cds_hooks.CHECKLIST, apply.CHECKLIST)
