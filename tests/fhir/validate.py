"""Validates a FHIR bundle with the models of fhir.resources.

Usage: python validate.py r4|r5 FILE. Exits with 0 if it is valid, 1 with reasons if not, 2 if it was called wrongly.

For r4 these are the models of R4B: Bundle, DocumentReference, Patient, Practitioner, Device and Organization have the
same fields in both.
"""

import json
import sys

from pydantic import ValidationError


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("r4", "r5"):
        print("usage: python validate.py r4|r5 FILE", file=sys.stderr)
        return 2
    if sys.argv[1] == "r4":
        from fhir.resources.R4B.bundle import Bundle
    else:
        from fhir.resources.bundle import Bundle
    with open(sys.argv[2], encoding="utf-8") as file:
        resource = json.load(file)
    try:
        bundle = Bundle.model_validate(resource)
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{sys.argv[1]}: {len(bundle.entry or [])} entries are valid")
    return 0


sys.exit(main())
