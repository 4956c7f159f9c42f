# SPDX-License-Identifier: MIT
"""Foreign programs as peers: nginx, HAProxy. A test is skipped where one is not installed."""

import os
import shutil
import subprocess

import pytest

from harness import raw_exchange, wait_until

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid "{directory}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log "{directory}/access.log" combined;
  client_body_temp_path "{directory}/body";
  proxy_temp_path "{directory}/proxy";
  fastcgi_temp_path "{directory}/fastcgi";
  uwsgi_temp_path "{directory}/uwsgi";
  scgi_temp_path "{directory}/scgi";
{servers}
}}
"""


class Foreign:
    """A foreign server process with its own directory and log."""

    def __init__(self, directory, name, *arguments):
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not path:
            pytest.skip(f"{name} is not installed")
        self.log = os.path.join(directory, "stderr")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([path, *arguments], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)

    def wait_port(self, port):
        def answers():
            assert self.process.poll() is None, open(self.log, encoding="utf-8").read()
            try:
                return raw_exchange(("127.0.0.1", port), b"GET / HTTP/1.0\r\n\r\n", 1) is not None
            except OSError:
                return False
        wait_until(answers, 10, f"a server on port {port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def nginx(directory, servers):
    """nginx with these blocks inside its http block, in a directory of the test's."""
    path = os.path.join(directory, "nginx.conf")
    os.chmod(directory, 0o755)
    with open(path, "w", encoding="ascii") as file:
        file.write(NGINX.format(directory=directory, servers=servers))
    return Foreign(directory, "nginx", "-p", directory, "-e", "stderr", "-c", path)


def haproxy(directory, configuration):
    path = os.path.join(directory, "haproxy.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(configuration)
    return Foreign(directory, "haproxy", "-db", "-f", path)
