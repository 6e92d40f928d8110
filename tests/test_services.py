# SPDX-License-Identifier: Apache-2.0
"""Services by name, from /etc/services and nowhere else."""

import subprocess
import sys

import pytest

from tracer.filter import parse, services


def test_a_service_has_its_ports():
    assert services.ports("domain") == {53}
    assert services.ports("https") == {443}
    assert services.ports("ftp-data") == {20}


@pytest.mark.parametrize("name", ["", "no-such-service", "1-", "٣", "\udcff"])
def test_what_is_no_service(name):
    assert services.ports(name) == frozenset()


def test_among_ports():
    assert parse.ports("domain,9,8000-8001") == {9, 53, 8000, 8001}
    assert parse.ports("ftp-data") == {20}


def test_no_server_is_asked():
    """Not even if nsswitch.conf says so: only the file is opened, and no socket."""
    code = (
        "import sys\n"
        "from tracer.filter import services\n"
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        # as if nsswitch.conf had named a source that finds nothing
        "libc['__nss_configure_lookup'](b'services', b'nosuchsource')\n"
        "import socket\n"
        "try:\n"
        "    socket.getservbyname('domain', 'udp')\n"
        "    sys.exit('the other source was not asked')\n"
        "except OSError:\n"
        "    print(services.ports('domain'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "frozenset({53})\n"
