"""What of the SARIF 2.1.0 schema concerns what heapledger writes, written down from the OASIS standard: required
properties, types and closed sets of values. Every object is closed, so nothing is written that is not described here.
"""
import re

try:
    import jsonschema
except ImportError:  # Debian: python3-jsonschema
    jsonschema = None

TEXT = {"type": "string", "minLength": 1}


def closed(required, **properties):
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


MESSAGE = closed(["text"], text=TEXT)  # 3.11
ARTIFACT = closed(["uri"], uri={"type": "string", "pattern": r"^(file:///)?[A-Za-z0-9/._~%-]+$"},  # 3.4
                  uriBaseId={"enum": ["%SRCROOT%"]})
REGION = closed(["startLine"], startLine={"type": "integer", "minimum": 1})  # 3.30
LOCATION = closed(["physicalLocation"],  # 3.28, 3.29
                  physicalLocation=closed(["artifactLocation"], artifactLocation=ARTIFACT, region=REGION))
RULE = closed(["id"], id=TEXT, name=TEXT, shortDescription=MESSAGE)  # 3.49
RESULT = closed(["message"], ruleId=TEXT, ruleIndex={"type": "integer", "minimum": 0},  # 3.27
                level={"enum": ["none", "note", "warning", "error"]}, message=MESSAGE,
                locations={"type": "array", "items": LOCATION},
                partialFingerprints={"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                                     "propertyNames": {"pattern": "^[A-Za-z]+/v[0-9]+$"}})
DRIVER = closed(["name"], name=TEXT, version=TEXT, rules={"type": "array", "items": RULE, "uniqueItems": True})  # 3.19
RUN = closed(["tool"], tool=closed(["driver"], driver=DRIVER), results={"type": "array", "items": RESULT},  # 3.14
             columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]})
SCHEMA = {"$schema": "http://json-schema.org/draft-07/schema#",
          **closed(["version", "runs"], **{"$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"},
                                           "runs": {"type": "array", "items": RUN}})}  # 3.13


def validate(case, log):
    """Fails the test case if the log is not as the schema says; beyond it: rule numbers that fit, levels, fingerprints."""
    if jsonschema is None:
        case.skipTest("python3-jsonschema is not installed (scripts/setup.sh)")
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    problems = [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(log)]
    case.assertEqual(problems, [])
    for one in log["runs"]:
        rules = one["tool"]["driver"]["rules"]
        case.assertEqual(len({rule["id"] for rule in rules}), len(rules))
        for result in one["results"]:
            case.assertEqual(rules[result["ruleIndex"]]["id"], result["ruleId"])
            case.assertTrue(result["partialFingerprints"])
            for location in result.get("locations", []):
                artifact = location["physicalLocation"]["artifactLocation"]
                case.assertEqual("uriBaseId" in artifact, re.match("file:", artifact["uri"]) is None)
        found = [tuple(result["partialFingerprints"].values()) for result in one["results"]]
        case.assertEqual(len(set(found)), len(found), "two findings with one fingerprint")
