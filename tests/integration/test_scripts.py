"""The scripts a newcomer meets first: they say what they miss, do nothing when nothing is to do, and refuse nonsense."""
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SOURCE, clean_environment, run

SCRIPTS = SOURCE / "scripts"


class Scripts(unittest.TestCase):
    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="heapledger-test-"))
        self.addCleanup(shutil.rmtree, self.scratch)

    def with_tools(self, **tools):
        """An environment whose PATH holds the named programs (their shell text), then the usual ones."""
        for name, text in tools.items():
            path = self.scratch / name.replace("_", "-")
            path.write_text("#!/bin/sh\n" + text + "\n")
            path.chmod(0o755)
        environment = clean_environment()
        environment["PATH"] = f"{self.scratch}:{environment['PATH']}"
        return environment

    def test_wrong_options_are_refused_with_the_usage(self):
        for script in ("setup.sh", "test.sh", "format.sh"):
            finished = run([SCRIPTS / script, "--no-such-option"])
            self.assertEqual(finished.status, 2, finished.explain())
            self.assertIn(f"scripts/{script}".encode(), finished.stderr)

    def test_setup_does_nothing_where_everything_is_installed(self):
        environment = self.with_tools(dpkg_query="echo installed", apt_get="echo called; exit 1")
        finished = run([SCRIPTS / "setup.sh", "--build-only"], env=environment)
        self.assertEqual((finished.status, finished.stdout, finished.stderr), (0, b"", b""))

    def test_setup_without_rights_names_what_is_missing(self):
        environment = self.with_tools(dpkg_query="case $3 in cmake) exit 1;; *) echo installed;; esac", id="echo 1000",
                                      sudo="exit 99", apt_get="exit 99")
        (self.scratch / "sudo").unlink()
        environment["PATH"] = f"{self.scratch}:{self.without('sudo')}"
        finished = run([SCRIPTS / "setup.sh", "--build-only"], env=environment)
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertRegex(finished.stderr, rb"apt-get install .*cmake")

    def without(self, command):
        """A PATH folder with links to what setup.sh uses, but not to the command."""
        folder = self.scratch / "without"
        folder.mkdir()
        for name in ("dirname", "sed", "mktemp", "tail", "env", "cat", "sh"):
            (folder / name).symlink_to(shutil.which(name))
        self.assertFalse((folder / command).exists())
        return str(folder)

    def test_setup_reports_a_failed_installation(self):
        environment = self.with_tools(dpkg_query="case $3 in cmake) exit 1;; *) echo installed;; esac", id="echo 0",
                                      apt_get="echo no network; exit 100")
        finished = run([SCRIPTS / "setup.sh", "--build-only"], env=environment)
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertIn(b"no network", finished.stderr)
        self.assertIn(b"cmake", finished.stderr)

    def test_setup_elsewhere_than_on_debian_names_what_to_install(self):
        environment = clean_environment()
        environment["PATH"] = self.without("dpkg-query")
        finished = run([SCRIPTS / "setup.sh"], env=environment)
        self.assertEqual(finished.status, 1)
        self.assertIn(b"libxxhash-dev", finished.stderr)

    def test_continuous_integration_runs_the_same_tests_as_everybody(self):
        self.assertIn("scripts/test.sh", (SOURCE / ".ci" / "run").read_text())


if __name__ == "__main__":
    harness.main()
