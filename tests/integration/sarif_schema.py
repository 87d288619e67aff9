"""SARIF held to what others made to read it: the schema of the standard (SARIF 2.1.0, OASIS), as Microsoft's Multitool
carries it, and the Multitool's own validator with the rules of GitHub's code scanning. scripts/setup.sh fetches it.
"""
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from harness import SOURCE

try:
    import jsonschema
except ImportError:  # Debian: python3-jsonschema
    jsonschema = None

MULTITOOL = SOURCE / "build/npm/sarif-multitool-linux/node_modules/@microsoft/sarif-multitool-linux"


def schema_problems(log):
    """What of a log breaks the schema, as sentences."""
    schema = json.loads((MULTITOOL / "sarif-2.1.0.json").read_text("utf-8-sig"))
    validator = jsonschema.validators.validator_for(schema)
    return [error.message for error in validator(schema).iter_errors(log)]


def multitool_errors(log):
    """The errors, not the recommendations, that the Multitool finds in a log."""
    with tempfile.TemporaryDirectory() as scratch:
        subject, answer = Path(scratch) / "log.sarif", Path(scratch) / "answer.sarif"
        subject.write_text(json.dumps(log))
        environment = dict(os.environ, DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1", DOTNET_BUNDLE_EXTRACT_BASE_DIR=scratch)
        subprocess.run([MULTITOOL / "Sarif.Multitool", "validate", subject, "--rule-kind", "Sarif;Ghas", "--level", "Error",
                        "--output", answer], env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)
        found = json.loads(answer.read_text("utf-8-sig"))
    return [(result["ruleId"], result["message"]) for one in found["runs"] for result in one.get("results", [])]


def validate(case, log):
    """Fails the test case if the log is not as its readers want it; beyond that: rules that fit, fingerprints apart."""
    if jsonschema is None or not MULTITOOL.exists():
        case.skipTest("python3-jsonschema or the SARIF Multitool is not installed (scripts/setup.sh)")
    case.assertEqual(schema_problems(log), [])
    case.assertEqual(multitool_errors(log), [])
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
