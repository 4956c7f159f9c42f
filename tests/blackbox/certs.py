# SPDX-License-Identifier: MIT
"""A throw-away certificate authority and the certificates it should not have signed.

Made with the openssl(1) command; `openssl x509 -days` cannot make an expired certificate, so those
come from `openssl ca`, which takes both dates.
"""

import os
import subprocess
from types import SimpleNamespace

CA_CONFIG = """
[ca]
default_ca = here
[here]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = optional
[req]
distinguished_name = name
prompt = no
[name]
"""

LOCAL = "DNS:localhost,IP:127.0.0.1"

# name -> (subjectAltName, not before, not after); None: the certificate has no such extension.
SERVERS = {
    "good": (LOCAL, "200101000000Z", "20991231000000Z"),
    "expired": (LOCAL, "200101000000Z", "200201000000Z"),
    "future": (LOCAL, "20980101000000Z", "20991231000000Z"),
    "wrong_host": ("DNS:other.example", "200101000000Z", "20991231000000Z"),
    "no_names": (None, "200101000000Z", "20991231000000Z"),
    "client": ("DNS:client.example", "200101000000Z", "20991231000000Z"),
}


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=30)


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(text)


def request(directory, name):
    openssl(directory, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")


def sign(directory, name, alternative, start, end):
    request(directory, name)
    extensions = "basicConstraints=CA:FALSE\n"
    if alternative:
        extensions += f"subjectAltName={alternative}\n"
    write(directory, f"{name}.ext", extensions)
    openssl(directory, "ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.crt",
            "-keyfile", "ca.key", "-in", f"{name}.csr", "-out", f"{name}.crt",
            "-startdate", start, "-enddate", end, "-extfile", f"{name}.ext")


def self_signed(directory, name, *more):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", f"/CN={name}", "-days", "3650", "-keyout", f"{name}.key",
            "-out", f"{name}.crt", *more)


def make(directory):
    """Makes them all; returns {name: (certificate, key)} as attributes, and `ca`."""
    write(directory, "ca.conf", CA_CONFIG)
    write(directory, "index.txt", "")
    write(directory, "serial", "1000\n")
    self_signed(directory, "ca")
    for name, (alternative, start, end) in SERVERS.items():
        sign(directory, name, alternative, start, end)
    self_signed(directory, "self_signed", "-addext", f"subjectAltName={LOCAL}")
    made = {name: (os.path.join(directory, f"{name}.crt"), os.path.join(directory, f"{name}.key"))
            for name in [*SERVERS, "self_signed"]}
    return SimpleNamespace(ca=os.path.join(directory, "ca.crt"), directory=directory, **made)
