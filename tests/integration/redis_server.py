"""A redis server under `heapledger record`: filled, then nine of ten keys deleted at random; what its allocator then says
of itself, and a snapshot of that moment."""
import os
import random
import re
import signal
import socket
import subprocess
import time

import harness
from harness import run
from running import end_with_all_below


class RedisTestCase(harness.TestCase):
    """Filled, then nine of ten keys deleted at random."""

    KEYS = 60000 * harness.SCALE

    def talk(self, commands):
        """Sends commands over the server's socket and returns the last answer's first bytes."""
        lines = b"".join(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                         for words in commands)
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(60)
            server.connect(str(self.socket))
            server.sendall(lines + b"*1\r\n$4\r\nPING\r\n")
            answer = b""
            while not answer.endswith(b"+PONG\r\n"):
                answer = answer[-100000:] + server.recv(1 << 16)
        return answer

    def server_pid(self):
        return int(re.search(rb"process_id:(\d+)", self.talk([[b"INFO", b"server"]])).group(1))

    def ask_allocator(self, report):
        os.kill(self.server_pid(), signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (report.exists() and
                                                   report.read_bytes().endswith((b"</malloc>\n", b"\nend\n"))):
            time.sleep(0.02)

    def fill_and_delete(self, **environment):
        """Records a server through that; returns the trace and what INFO memory said at the snapshot."""
        self.socket = self.scratch / "s"
        trace = self.scratch / "t.hlt"
        server = subprocess.Popen(
            [harness.HEAPLEDGER, "record", "--quiet", "-o", trace, "--", "redis-server", "--port", "0",
             "--unixsocket", str(self.socket), "--save", "", "--activerehashing", "no", "--daemonize", "no",
             "--dir", str(self.scratch)],
            env=harness.clean_environment(**environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while not self.socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            chance = random.Random(4711)
            keys = [b"key:%d" % number for number in range(self.KEYS)]
            for start in range(0, len(keys), 5000):
                self.talk([b"SET", key, b"x" * chance.randrange(16, 700)] for key in keys[start:start + 5000])
            gone = chance.sample(keys, len(keys) * 9 // 10)
            for start in range(0, len(gone), 5000):
                self.talk([b"DEL", key] for key in gone[start:start + 5000])
            info = self.talk([[b"INFO", b"memory"]])
            if "MALLOC_REPORT" in environment:
                self.ask_allocator(environment["MALLOC_REPORT"])
            snapshot = run([harness.HEAPLEDGER, "snapshot", str(self.server_pid()), "--name", "emptied"])
            self.assertEqual(snapshot.status, 0, snapshot.explain())
            with socket.socket(socket.AF_UNIX) as closing:
                closing.connect(str(self.socket))
                closing.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
            server.wait(60)
        finally:
            end_with_all_below(server)
        return trace, {name.decode(): int(value) for name, value in re.findall(rb"(\w+):(\d+)\r", info)}
