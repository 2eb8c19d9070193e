# SPDX-License-Identifier: Apache-2.0
"""An authority of the test's own, made with the openssl command, and what clients and servers need to use it."""
import ssl
import subprocess
from pathlib import Path

KEYS = {
    "ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa": ("rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
}


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Issues certificates that only those trust who are given its ca_path."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca_path = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        self._index = self.folder / "index.txt"  # of what was revoked, for OCSP
        self._index.touch()
        _openssl("req", "-x509", "-newkey", *KEYS["ecdsa"], "-nodes", "-days", 30, "-subj", "/CN=Test authority",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out", self.ca_path)

    def issue(self, *names, key="ecdsa", days=30, stem=None):
        """(certificate path, key path), both PEM, for DNS names (wildcards too) and IP addresses. stem: the files'
        name, where that of the first name would overwrite others. days: from now on; 0 for one that has expired.
        """
        stem = stem or names[0].replace("*", "any").replace(":", "-")
        certificate, key_path = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        request, extensions = self.folder / f"{stem}.csr", self.folder / f"{stem}.ext"
        alternatives = ",".join(("IP:" if _is_address(name) else "DNS:") + name for name in names)
        # Python from 3.13 on verifies strictly (RFC 5280): whose key signed must be said.
        extensions.write_text(f"subjectAltName={alternatives}\nauthorityKeyIdentifier=keyid\n")
        _openssl("req", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={names[0][:60]}", "-keyout", key_path, "-out",
                 request)
        if days > 0:
            _openssl("x509", "-req", "-in", request, "-CA", self.ca_path, "-CAkey", self._key, "-CAcreateserial",
                     "-days", days, "-extfile", extensions, "-out", certificate)
        else:
            self._sign_expired(request, extensions, certificate)
        return certificate, key_path

    def _sign_expired(self, request, extensions, certificate):
        """Only this command takes dates, in OpenSSL 3.0 and 3.5 alike."""
        config, issued = self.folder / "ca.cnf", self.folder / "issued.txt"
        issued.touch()
        config.write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={issued}\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
                          "default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n")
        _openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-cert", self.ca_path, "-keyfile", self._key,
                 "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-extfile", extensions, "-out", certificate)

    def with_chain(self, certificate):
        """The same with the authority behind it, so that its issuer is known."""
        chain = certificate.with_suffix(".chain.pem")
        chain.write_bytes(certificate.read_bytes() + self.ca_path.read_bytes())
        return chain

    def ocsp_response(self, certificate, path):
        """Writes what an OCSP responder would say of the certificate, for a week."""
        request = self.folder / "request.ocsp"
        serial = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-serial"], check=True,
                                capture_output=True, text=True).stdout.strip().partition("=")[2]
        self._index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=any\n")
        _openssl("ocsp", "-issuer", self.ca_path, "-cert", certificate, "-no_nonce", "-reqout", request)
        _openssl("ocsp", "-index", self._index, "-CA", self.ca_path, "-rsigner", self.ca_path, "-rkey", self._key,
                 "-reqin", request, "-respout", path, "-ndays", 7)

    def client_context(self, version=None):
        """Trusts this authority and no other. version: exactly this ssl.TLSVersion."""
        context = ssl.create_default_context(cafile=self.ca_path)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def server_context(self, *names):
        """For an origin that speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context


def _is_address(name):
    return ":" in name or name.replace(".", "").isdigit()
