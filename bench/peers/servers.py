# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared. docs/performance.md says why each is configured as it is.

A Server starts with start(), listens at `port`, and ends with stop(). pids() are its processes at the moment.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from peers.stage import ADDRESS, BUILD, free_port

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10


class Server:
    name = ""
    about = ""  # its configuration in a line

    def __init__(self, folder, origin_port, core=None, cache_mb=1024, workers=1, root=None):
        """core: the one that all of it is pinned to, or None. root: what the origin serves, for the floor."""
        self.folder = Path(folder) / self.name.replace(" ", "-")
        self.folder.mkdir(parents=True)
        self.origin_port, self.root, self.core = origin_port, root, core
        self.cache_mb, self.workers = cache_mb, workers
        self.port = free_port()
        self._process = None

    def command(self):
        """Writes what configuration there is, and returns the command line."""
        raise NotImplementedError

    def start(self):
        command = self.command()
        pinned = ["taskset", "-c", str(self.core)] if self.core is not None else []
        with open(self.folder / "output", "wb") as output:
            self._process = subprocess.Popen([*pinned, *command], stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=subprocess.STDOUT, cwd=self.folder)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {(self.folder / 'output').read_text()}")
            time.sleep(0.05)
        return self

    def pids(self):
        return descendants(self._process.pid)

    def stop(self):
        pids = self.pids()
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self._process.wait()

    @classmethod
    def missing(cls):
        """The program that it needs and that is not there, or None."""
        return None


def _accepts(port):
    """Whether something listens there, without connecting to it."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(fields[1].endswith(wanted) and fields[3] == "0A" for fields in map(str.split, file))


def descendants(root):
    """root and all processes below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            children.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class Edge(Server):
    name = "edge"
    about = "its defaults: an arena of regions of 64 MiB on the file system, no access log"

    def command(self):
        config = {
            "edge": "bench",
            "workers": self.workers,
            "listen": [{"address": f"{ADDRESS}:{self.port}"}],
            "admin": f"{ADDRESS}:{free_port()}",
            "arena": {"path": str(self.folder / "arena"), "size": f"{self.cache_mb}MiB"},
            "sites": [{"name": "bench", "hosts": [ADDRESS], "origin": f"http://{ADDRESS}:{self.origin_port}"}],
        }
        path = self.folder / "edge.yaml"
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML
        return [str(BUILD / "edge"), str(path)]

    @classmethod
    def missing(cls):
        return None if (BUILD / "edge").exists() else str(BUILD / "edge")


class Floor(Server):
    """Serves the origin's folder instead of caching."""
    name = "floor"
    about = "bench/floor.c: epoll and sendfile, no parsing worth the name, no cache"

    def command(self):
        return [str(BUILD / "bench_floor"), str(self.port), str(self.root)]


_NGINX_HEAD = """
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log warn;
worker_processes {workers};
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""

_NGINX_PROXY = """
    {extra}
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:64m max_size={cache_mb}m inactive=30d
                     use_temp_path=off;
    upstream origin {{
        server {address}:{origin_port};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address}:{port} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache bench;
            proxy_cache_lock on;
            {lock}
        }}
    }}
}}
"""


def nginx_head(folder, workers):
    user = "user root;" if os.geteuid() == 0 else ""
    return _NGINX_HEAD.format(folder=folder, workers=workers, user=user)


class Nginx(Server):
    name = "nginx"
    about = "proxy_cache: sendfile, aio threads, cache lock, kept-alive upstream, inactive=30d, no access log"
    extra = "aio threads;"
    lock = ""

    def command(self):
        path = self.folder / "nginx.conf"
        path.write_text(nginx_head(self.folder, self.workers) + _NGINX_PROXY.format(
            folder=self.folder, address=ADDRESS, port=self.port, origin_port=self.origin_port,
            cache_mb=self.cache_mb, extra=self.extra, lock=self.lock))
        return [nginx_program(), "-c", str(path), "-p", str(self.folder)]

    @classmethod
    def missing(cls):
        return None if nginx_program() else "nginx"


def nginx_program():
    return _program("nginx")


class NginxInline(Nginx):
    """What nginx can do when a cold disk may stall all of its viewers."""
    name = "nginx inline"
    about = "the same without aio threads (a cold page stalls its worker), and with open_file_cache"
    extra = "open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;"


class NginxPatient(Nginx):
    name = "nginx patient"
    about = "nginx with proxy_cache_lock_timeout and proxy_cache_lock_age raised to 60 s"
    lock = "proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;"


class Varnish(Server):
    name = "varnish"
    about = "malloc storage, its default parameters but for timeout_idle, its log in shared memory on tmpfs as recommended"

    def command(self):
        vcl = self.folder / "default.vcl"
        vcl.write_text("vcl 4.1;\nbackend default {\n"
                       f'    .host = "{ADDRESS}"; .port = "{self.origin_port}";\n'
                       "    .first_byte_timeout = 60s; .between_bytes_timeout = 60s;\n}\n")
        tmpfs = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._instance = tempfile.mkdtemp(prefix="bench-varnish-", dir=tmpfs)
        return [varnish_program(), "-F", "-j", "none", "-n", self._instance, "-f", str(vcl),
                "-a", f"{ADDRESS}:{self.port}", "-s", f"malloc,{self.cache_mb}M", "-p", "timeout_idle=300"]

    def stop(self):
        super().stop()
        shutil.rmtree(self._instance, ignore_errors=True)

    @classmethod
    def missing(cls):
        return None if varnish_program() else "varnishd"


def varnish_program():
    return _program("varnishd")


_TRAFFIC_SERVER = """
CONFIG proxy.config.http.server_ports STRING {port}{listen}:ip-in={address}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT {workers}
CONFIG proxy.config.cache.ram_cache.size INT {ram_bytes}
CONFIG proxy.config.cache.enable_read_while_writer INT 1
CONFIG proxy.config.http.cache.max_open_read_retries INT 5
CONFIG proxy.config.http.cache.open_read_retry_time INT 100
CONFIG proxy.config.cache.max_doc_size INT 0
CONFIG proxy.config.http.background_fill_active_timeout INT 0
CONFIG proxy.config.http.background_fill_completed_threshold FLOAT 0.0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
{extra}"""


class TrafficServer(Server):
    name = "traffic server"
    about = "a cache on the file system of which all is in its RAM cache too, reading while writing as its manual says, no log"
    listen = extra = ""

    def command(self):
        folders = {name: self.folder / name for name in ("etc", "cache", "run", "log")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        (folders["etc"] / "records.config").write_text(_TRAFFIC_SERVER.format(
            address=ADDRESS, port=self.port, workers=self.workers, ram_bytes=self.cache_mb << 20,
            listen=self.listen, extra=self.extra))
        (folders["etc"] / "storage.config").write_text(f"{folders['cache']} {self.cache_mb}M\n")
        (folders["etc"] / "ip_allow.yaml").write_text(
            "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n")
        (folders["etc"] / "remap.config").write_text(f"map / http://{ADDRESS}:{self.origin_port}/\n")
        layout = {"prefix": self.folder, "exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/sbin",
                  "sysconfdir": folders["etc"], "datadir": folders["cache"], "includedir": "/usr/include",
                  "libdir": "/usr/lib/trafficserver", "libexecdir": "/usr/lib/trafficserver/modules",
                  "localstatedir": self.folder, "runtimedir": folders["run"], "logdir": folders["log"],
                  "cachedir": folders["cache"]}
        runroot = self.folder / "runroot.yaml"
        runroot.write_text("".join(f"{name}: {path}\n" for name, path in layout.items()))
        return [traffic_server_program(), f"--run-root={runroot}"]

    @classmethod
    def missing(cls):
        return None if traffic_server_program() else "traffic_server"


def traffic_server_program():
    return _program("traffic_server")


_HAPROXY = """
global
    nbthread {workers}
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1m
    timeout http-keep-alive 1h
frontend bench
    bind {address}:{port} backlog 4096 {bind}
    http-request cache-use bench
    http-response cache-store bench
    default_backend origin
backend origin
    http-reuse always
    server origin {address}:{origin_port}
cache bench
    total-max-size {cache_mb}
    max-object-size {object_bytes_max}
    max-age 86400
"""


class HaProxy(Server):
    name = "haproxy"
    about = "its cache in memory, of objects of up to 10 MiB; tuning parameters as they come; kept-alive upstream, no log"
    object_bytes_max = 10 << 20

    def bind(self):
        """What else there is to say of the listener."""
        return ""

    def command(self):
        path = self.folder / "haproxy.cfg"
        path.write_text(_HAPROXY.format(
            workers=self.workers, address=ADDRESS, port=self.port, bind=self.bind(), origin_port=self.origin_port,
            cache_mb=self.cache_mb, object_bytes_max=self.object_bytes_max))
        return [haproxy_program(), "-q", "-db", "-f", str(path)]

    @classmethod
    def missing(cls):
        return None if haproxy_program() else "haproxy"


def haproxy_program():
    return _program("haproxy")


class H2oFiles(Server):
    """It has no cache that requests share: this is what it costs to serve the origin's folder itself."""
    name = "h2o files"
    about = "no cache but the origin's folder by file.dir; one thread, no log"

    def listen(self):
        return {"host": ADDRESS, "port": self.port}

    def command(self):
        config = {
            "listen": self.listen(),
            "num-threads": self.workers,
            "max-connections": 20000,
            "http1-request-timeout": 3600,  # of the next request, too
            "http2-idle-timeout": 3600,
            "hosts": {"default": {"paths": {"/": {"file.dir": str(self.root)}}}},
        }
        if os.geteuid() == 0:
            config["user"] = "root"
        path = self.folder / "h2o.conf"
        path.write_text(json.dumps(config, indent=2))
        return [h2o_program(), "-c", str(path)]

    @classmethod
    def missing(cls):
        return None if h2o_program() else "h2o"


def h2o_program():
    return _program("h2o")


def _program(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


class Running:
    """Starts servers, and stops all of them at the end."""

    def __init__(self, servers):
        self._servers = servers
        self._started = []

    def __enter__(self):
        try:
            for server in self._servers:
                self._started.append(server.start())
        except BaseException:
            self.__exit__()
            raise
        return self._started

    def __exit__(self, *_):
        for server in self._started:
            server.stop()


def chosen(kinds, names):
    """Those of the kinds that were asked for (None: all), without those whose program is not there."""
    wanted = [kind for kind in kinds if not names or kind.name in names]
    for kind in wanted:
        if kind.missing():
            print(f"without {kind.name}: there is no {kind.missing()}")
    return [kind for kind in wanted if not kind.missing()]
