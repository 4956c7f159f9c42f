# SPDX-License-Identifier: MIT
"""A private network for one daemon: its own loopback, its own name server, its own /run.

The test starts this file inside `unshare`, so it may take port 53 and the metadata address without
touching the host; the daemon then joins with `nsenter`. It serves until its stdin ends; a line on
stdin is answered by one line of JSON with what was seen so far.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from hostile import Server, answering

HTTP_PORT = 8080
HOLE_PORT = 8081  # answers on IPv4 as HTTP_PORT does, and never on IPv6
METADATA_ADDRESS = "169.254.169.254"

SIOCSIFADDR = 0x8916
SIOCSIFNETMASK = 0x891C
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
MS_BIND = 4096

# ---- the outside: what a test uses ----


class Namespace:
    """Starts this file in its own namespaces. wrapper() runs a command in them."""

    def __init__(self, directory):
        self.process = subprocess.Popen(
            ["unshare", *self.user(), "--net", "--mount", "--", sys.executable, __file__,
             directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.ready = self.process.stdout.readline().strip() == "ready"

    @staticmethod
    def user():
        return [] if os.geteuid() == 0 else ["--map-root-user"]

    def wrapper(self, *kinds):
        """Prefix of a command that is to run inside: all of it, or only the kinds named."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        kinds = kinds or ("--net", "--mount")
        # --root: entering a mount namespace otherwise leaves a chroot, where a build may well run
        return ["nsenter", "--target", str(self.process.pid), *user, *kinds, "--root", "--wd", "--"]

    def report(self):
        self.process.stdin.write("report\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def missing():
    """Why a namespace cannot be had here; "" when it can."""
    for tool in ("unshare", "nsenter"):
        if not shutil.which(tool):
            return f"{tool}(1) is not installed"
    done = subprocess.run(["unshare", *Namespace.user(), "--net", "--mount", "true"],
                          capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


@contextlib.contextmanager
def opened():
    """A namespace with a directory of its own, for a while."""
    with tempfile.TemporaryDirectory(prefix="mh-ns-") as directory:
        space = Namespace(directory)
        assert space.ready, "the namespace helper did not start"
        space.directory = directory
        yield space
        space.close()


# ---- the inside ----


def mount(source, target, kind, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind, flags, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {source} on {target}: {os.strerror(code)}")


def interface_address(sock, name, address, mask):
    for call, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, mask)):
        fcntl.ioctl(sock, call, struct.pack("16sH2x4s8x", name.encode(), socket.AF_INET,
                                            socket.inet_aton(value)))


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        interface_address(sock, "lo:1", METADATA_ADDRESS, "255.255.255.255")


def own_files(directory):
    """An empty /run whose journal is in `directory`, and our resolv.conf over the host's, which may
    lead into /run. Where there is none, the resolver asks 127.0.0.1 all the same."""
    mount("tmpfs", "/run", b"tmpfs", 0)
    os.makedirs("/run/systemd")
    os.symlink(directory, "/run/systemd/journal")
    path = os.path.join(directory, "resolv.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    hosts = os.path.realpath("/etc/resolv.conf")
    if hosts.startswith("/run/"):
        os.makedirs(os.path.dirname(hosts), exist_ok=True)
        shutil.copy(path, hosts)
    elif os.path.exists(hosts):
        mount(path, hosts, None, MS_BIND)


# ---- DNS ----

A, CNAME, AAAA = 1, 5, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
TRUNCATED = 0x0200
LOCAL = "127.0.0.1"


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(kind, data, ttl=60, name=b"\xc0\x0c"):
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def addresses(*texts, ttl=60):
    """A rule: these addresses, by family."""
    def rule(kind, _count):
        found = [record(A, socket.inet_aton(text), ttl) for text in texts if ":" not in text]
        if kind == AAAA:
            found = [record(AAAA, socket.inet_pton(socket.AF_INET6, text), ttl)
                     for text in texts if ":" in text]
        return 0, found
    return rule


def code(number):
    return lambda _kind, _count: (number, [])


def alias(target):
    return lambda _kind, _count: (0, [record(CNAME, encode_name(target))])


def alias_and_address(target):
    def rule(kind, _count):
        found = [record(CNAME, encode_name(target))]
        if kind == A:
            found.append(record(A, socket.inet_aton(LOCAL), name=encode_name(target)))
        return 0, found
    return rule


def rebinding(kind, count):
    """The first answer is harmless, every later one is not."""
    address = LOCAL if count <= 2 else METADATA_ADDRESS
    return addresses(address, ttl=0)(kind, count)


def flapping(kind, count):
    """Exists for two questions, then not for two."""
    return addresses(LOCAL, ttl=0)(kind, count) if (count - 1) // 2 % 2 == 0 else (NXDOMAIN, [])


# First label of the name -> rule(question type, how often asked) -> (code, records), or a word
# that answer() knows. An answer that is longer than a datagram may be comes over TCP.
RULES = {
    "alias": alias_and_address("good.test"),
    "denied": addresses(METADATA_ADDRESS),
    "denied6": addresses("::ffff:169.254.169.254"),
    "dual": addresses(LOCAL, "::1"),
    "empty": code(0),
    "fifth": addresses("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", LOCAL),
    "flap": flapping,
    "garbage": "garbage",
    "good": addresses(LOCAL),
    "half": addresses("127.0.0.9", LOCAL),
    "hang": "silence",
    "loop": alias("loop.test"),
    "many": addresses(*[f"127.0.{n // 200}.{n % 200 + 1}" for n in range(4000)]),
    "nxdomain": code(NXDOMAIN),
    "pointer": "pointer",
    "rebind": rebinding,
    "refused": code(REFUSED),
    "servfail": code(SERVFAIL),
    "truncated": "truncated",
    "wrongid": "wrongid",
    "zerottl": addresses(LOCAL, ttl=0),
}


class NameServer:
    def __init__(self):
        self.asked = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((LOCAL, 53))
        self.tcp = socket.create_server((LOCAL, 53))
        threading.Thread(target=self.run_udp, daemon=True).start()
        threading.Thread(target=self.run_tcp, daemon=True).start()

    def run_udp(self):
        while True:
            question, client = self.udp.recvfrom(4096)
            for reply in self.answer(question):
                if len(reply) > 512:
                    reply = reply[:2] + b"\x83\x80" + question[4:6] + bytes(6) + question[12:]
                self.udp.sendto(reply, client)

    def run_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        """Whoever comes back for `truncated` waits for ever."""
        with client, contextlib.suppress(OSError):
            while head := client.recv(2, socket.MSG_WAITALL):
                question = client.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
                for reply in self.answer(question):
                    if not reply[2] & TRUNCATED >> 8:
                        client.sendall(struct.pack(">H", len(reply)) + reply)

    def answer(self, question):
        """The datagrams that answer a query: usually one."""
        labels, position = [], 12
        while question[position]:
            labels.append(question[position + 1:position + 1 + question[position]].decode().lower())
            position += 1 + question[position]
        kind = struct.unpack_from(">H", question, position + 1)[0]
        asked = question[12:position + 5]
        name = ".".join(labels)
        self.asked[name] = self.asked.get(name, 0) + 1
        rule = RULES.get(labels[0].split("-")[0], code(NXDOMAIN))

        def reply(flags, records, identity=question[:2]):
            header = identity + struct.pack(">HHHHH", 0x8180 | flags, 1, len(records), 0, 0)
            return header + asked + b"".join(records)

        if callable(rule):
            return [reply(*rule(kind, self.asked[name]))]
        return {
            "silence": [],
            "garbage": [question[:2] + b"\x81\x80" + b"\xff" * 40],
            "pointer": [reply(0, [record(A, socket.inet_aton(LOCAL), name=b"\xc0\xff")])],
            "truncated": [reply(TRUNCATED, [])],
            "wrongid": [reply(0, [record(A, socket.inet_aton(LOCAL))],
                              bytes([question[0] ^ 0xff, question[1]]))],
        }[rule]


def black_hole(port):
    """A listener whose queue is full: to whoever comes next, the kernel says nothing."""
    listener = socket.create_server(("::1", port), family=socket.AF_INET6, backlog=0)
    return listener, socket.create_connection(("::1", port))


def main():
    directory = sys.argv[1]
    raise_loopback()
    own_files(directory)
    names = NameServer()
    hole = black_hole(HOLE_PORT)
    with Server() as server:
        server.listen("healthy", port=HTTP_PORT)
        server.listen("healthy", port=HOLE_PORT)
        server.listen("sentinel", answering(), host=METADATA_ADDRESS, port=80)
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps({"asked": names.asked, "connections": server.connections}),
                  flush=True)
    for end in hole:
        end.close()


if __name__ == "__main__":
    main()
