# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared over TLS, and h2load, the viewer of these: it speaks TLS, HTTP/1.1 and HTTP/2.

All show the same certificate (ECDSA P-256) and encrypt with AES-128-GCM, which is what costs least on this machine.
"""
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from peers import measure, servers
from peers.stage import ADDRESS, free_port

CIPHER = "TLS_AES_128_GCM_SHA256"


def certificate(folder):
    """(certificate, key), made once in the folder."""
    paths = folder / "bench.pem", folder / "bench.key"
    if not paths[0].exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "30", "-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", paths[1], "-out",
                        paths[0]], check=True, capture_output=True)
    return paths


class Edge(servers.Edge):
    about = "its defaults, and no bound on the handshakes of one client, as all viewers here have one address"

    def command(self):
        command = super().command()
        path = self.folder / "edge.yaml"
        config = json.loads(path.read_text())
        chain, key = certificate(self.folder.parent)
        config["listen"] = [{"address": f"{ADDRESS}:{self.port}", "tls": True}]
        config["sites"][0]["tls"] = {"certificate": str(chain), "key": str(key)}
        config["limits"] = {"handshakes_per_client": 0, "idle_timeout": "1h", "header_timeout": "1h"}
        path.write_text(json.dumps(config, indent=2))
        return command


_NGINX_TLS = """
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Ciphersuites {cipher};
    ssl_session_tickets on;
    ssl_session_cache shared:sessions:16m;
    http2_max_concurrent_streams 128;
"""


class Nginx(servers.Nginx):
    """Its HTTP/2 is that of the same port, as ALPN says."""
    about = servers.Nginx.about + "; session cache and tickets, its default record size of 16 kB"

    def command(self):
        command = super().command()
        path = self.folder / "nginx.conf"
        chain, key = certificate(self.folder.parent)
        text = path.read_text().replace("backlog=4096;", "ssl http2 backlog=4096;", 1)
        settings = _NGINX_TLS.format(chain=chain, key=key, cipher=CIPHER)
        path.write_text(text.replace("    upstream origin {", settings + "    upstream origin {", 1))
        return command


class NginxInline(Nginx):
    name = "nginx inline"
    about = servers.NginxInline.about
    extra = servers.NginxInline.extra


class TrafficServer(servers.TrafficServer):
    about = servers.TrafficServer.about + "; session cache and tickets as they come"
    listen = ":ssl"
    extra = f"CONFIG proxy.config.ssl.server.TLSv1_3.cipher_suites STRING {CIPHER}\n"

    def command(self):
        command = super().command()
        chain, key = certificate(self.folder.parent)
        (self.folder / "etc" / "ssl_multicert.config").write_text(f"dest_ip=* ssl_cert_name={chain} ssl_key_name={key}\n")
        return command


class HaProxy(servers.HaProxy):
    about = servers.HaProxy.about + "; session cache and tickets as they come"

    def bind(self):
        both = self.folder / "bench.pem"
        both.write_text("".join(path.read_text() for path in certificate(self.folder.parent)))
        return f"ssl crt {both} ssl-min-ver TLSv1.2 ciphersuites {CIPHER} alpn h2,http/1.1"


class H2oFiles(servers.H2oFiles):
    """It has no setting for TLS 1.3's ciphers, so OpenSSL's own configuration says which."""
    about = servers.H2oFiles.about + "; no process of its own for the key (neverbleed), session cache and tickets as they come"

    def listen(self):
        chain, key = certificate(self.folder.parent)
        return {**super().listen(), "ssl": {"certificate-file": str(chain), "key-file": str(key), "minimum-version": "TLSv1.2",
                                            "neverbleed": "OFF", "ocsp-update-interval": 0}}

    def command(self):
        path = self.folder / "openssl.cnf"
        path.write_text("openssl_conf = all\n[all]\nssl_conf = kinds\n[kinds]\nsystem_default = each\n[each]\n"
                        f"Ciphersuites = {CIPHER}\n")
        return ["env", f"OPENSSL_CONF={path}", *super().command()]


KINDS = [Edge, Nginx, NginxInline, TrafficServer, HaProxy, H2oFiles]


@dataclass
class Round:
    spent: measure.Spent
    wall_s: float
    requests: int
    bytes: int
    resumed: int
    other_load: float

    @property
    def cpu_s_per_gb(self):
        return self.spent.all / self.bytes * 1e9

    @property
    def connections_per_cpu_s(self):
        return self.requests / self.spent.all


def h2load(server, core, *arguments, uris=None):
    """One round. uris: a file of them; else they are among the arguments."""
    inputs = ["-i", str(uris)] if uris else []
    cores = {server.core, core}
    busy, before, own = measure.busy_s(cores), measure.spent(server), os.times()
    done = subprocess.run(["taskset", "-c", str(core), "h2load", "-t1", f"--tls13-ciphers={CIPHER}", *arguments, *inputs],
                          check=True, stdout=subprocess.PIPE, text=True)
    used, busy, after = measure.spent(server) - before, measure.busy_s(cores) - busy, os.times()
    own_s = after.children_user + after.children_system - own.children_user - own.children_system
    total, succeeded = map(int, re.search(r"requests: (\d+) total.*?(\d+) succeeded", done.stdout).groups())
    if total != succeeded:
        raise RuntimeError(f"{server.name}: {total - succeeded} of {total} requests failed\n{done.stdout}")
    if f"Cipher: {CIPHER}" not in done.stdout:
        raise RuntimeError(f"{server.name}: not the cipher that was meant\n{done.stdout}")
    wall_s = _seconds(re.search(r"finished in ([\d.]+)(us|ms|s|m),", done.stdout))
    size = int(re.search(r"traffic: .*?\((\d+)\) total", done.stdout)[1])
    others = max(0.0, busy - used.all - own_s) / (2 * wall_s)
    return Round(used, wall_s, total, size, 0, others)


def _seconds(match):
    return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[match[2]]


def chosen(names):
    if not shutil.which("h2load"):
        raise SystemExit("there is no h2load (Debian: nghttp2-client)")
    return servers.chosen(KINDS, names)


def uri_of(server, path):
    return f"https://{ADDRESS}:{server.port}{path}"


__all__ = ["KINDS", "Round", "certificate", "chosen", "free_port", "h2load", "uri_of"]
