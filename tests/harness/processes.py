# SPDX-License-Identifier: Apache-2.0
"""Starts the programs under test and holds them to their manners: they say when they are ready, end with 0 on
SIGTERM, and no sanitizer has anything to say.
"""
import json
import os
import re
import signal
import subprocess
import threading
import urllib.parse
from pathlib import Path

from harness.deadline import DEADLINE_S, until

REPOSITORY = Path(__file__).resolve().parents[2]
TROUBLE = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:|check failed|cannot be:",
    re.IGNORECASE)


def build_folder():
    return Path(os.environ.get("SHOREBREAK_BUILD", REPOSITORY / "build/asan")).resolve()


def address_of(url):
    """("127.0.0.1", 8080) of "http://127.0.0.1:8080", IPv6 without its brackets."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


class Program:
    """One process. Its standard error goes to a file in `folder`, its standard output is read for ready lines:
    "NAME ready URL" for a listener, "admin URL" for the admin listener.
    """

    name = ""

    def __init__(self, arguments, folder, listeners, environment=None):
        """listeners: how many ready lines there will be, the admin's included. environment: variables of its own."""
        self.arguments = [str(build_folder() / self.name), *map(str, arguments)]
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.listeners = listeners
        self.environment = environment or {}
        self.process = None
        self.stderr_path = None  # of the last start
        self._starts = 0

    def start(self):
        """Starts it and waits until every listener is ready."""
        assert self.process is None, "already running"
        self._starts += 1
        self.stderr_path = self.folder / f"{self.name}-{self._starts}.stderr"
        self.urls, self.admin_url, self._output = [], None, []
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=stderr, cwd=self.folder, env=self._environment())
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()
        until(self._is_ready, lambda: f"{self.name} to be ready\n{self.log()}")
        return self

    def _environment(self):
        environment = {**os.environ, **self.environment}
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1:strict_string_checks=1")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        return environment

    def _read_output(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self._output.append(text)
            match = re.fullmatch(r"(\S+ ready|admin) (https?://\S+)", text)
            if match and match[1] == "admin":
                self.admin_url = match[2]
            elif match and match[1] == f"{self.name} ready":
                self.urls.append(match[2])

    def _is_ready(self):
        if self.process.poll() is not None:
            code = self.process.returncode
            self._close()
            raise AssertionError(f"{self.name} ended with {code} at start\n{self.log()}")
        return len(self.urls) + (self.admin_url is not None) == self.listeners

    def log(self):
        """All it has said since its last start."""
        if self.stderr_path is None:
            return f"--- {self.name}: never started"
        return "\n".join([f"--- {self.name}: {' '.join(self.arguments)}", *self._output,
                          self.stderr_path.read_text(errors="replace")])

    @property
    def url(self):
        """Of the first plain listener."""
        return next(url for url in self.urls if url.startswith("http://"))

    @property
    def tls_url(self):
        """Of the first TLS listener."""
        return next(url for url in self.urls if url.startswith("https://"))

    @property
    def address(self):
        return address_of(self.url)

    @property
    def tls_address(self):
        return address_of(self.tls_url)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def open_files(self):
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """SIGTERM; it must end by itself, with 0, and without a sanitizer's or a CHECK's complaint."""
        self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self):
        """Waits for an end that something else has caused, and judges it."""
        try:
            code = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {DEADLINE_S} s\n{self.log()}") from None
        self._close()
        assert code == 0, f"{self.name} ended with {code}\n{self.log()}"
        self._judge()

    def kill(self):
        """kill -9: nothing is asked of its end."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self):
        self._reader.join()
        self.process.stdout.close()
        self.process = None

    def _judge(self):
        trouble = TROUBLE.search(self.stderr_path.read_text(errors="replace"))
        assert not trouble, f"{self.name} said '{trouble[0]}'\n{self.log()}"


class Shim(Program):
    """origin-shim."""

    name = "origin-shim"

    def __init__(self, root, folder, *options, listen=("127.0.0.1:0",)):
        arguments = ["--root", root, *options]
        for address in listen:
            arguments += ["--listen", address]
        super().__init__(arguments, folder, len(listen))


class Edge(Program):
    """edge, with a configuration given as a dict (docs/config.md). What it leaves out is filled in for tests: a free
    port, two workers, a small arena and an access log in the folder. arena=None, access_log=None: none. The admin
    listener is always there: without /stats a test cannot end.
    """

    name = "edge"

    def __init__(self, config, folder, environment=None):
        self.folder = Path(folder)
        self.config = self._complete(config)
        self.config_path = self.folder / "edge.yaml"
        super().__init__([self.config_path], folder, len(self.config["listen"]) + 1, environment)

    def _complete(self, config):
        complete = {
            "edge": "test",
            "workers": 2,
            "listen": [{"address": "127.0.0.1:0"}],
            "admin": "127.0.0.1:0",
            "arena": {},
            "access_log": {"path": str(self.folder / "access.log")},
            **config,
        }
        if complete["arena"] is not None:
            arena = {"path": str(self.folder / "arena"), "size": "64MiB", "region_size": "4MiB", "slice_size": "1MiB"}
            if "disks" in complete["arena"]:
                del arena["path"], arena["size"]
            complete["arena"] = {**arena, **complete["arena"]}
        return {name: value for name, value in complete.items() if value is not None}

    def write_config(self):
        """The configuration as it is now, as a file: its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(json.dumps(self.config, indent=2) + "\n")  # JSON is YAML
        return self.config_path

    def start(self):
        """Writes the configuration as it is now, and starts with it."""
        self.write_config()
        return super().start()

    def access_log(self):
        """Its records so far; what it has not written yet is missing."""
        path = Path(self.config["access_log"]["path"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def admin_address(self):
        return address_of(self.admin_url)


def run_to_end(name, *arguments, folder, deadline_s=DEADLINE_S):
    """Runs a program that ends by itself, whatever its exit code: a CompletedProcess with text output."""
    done = subprocess.run([str(build_folder() / name), *map(str, arguments)], cwd=folder, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline_s, check=False)
    assert not TROUBLE.search(done.stderr), done.stderr
    return done
