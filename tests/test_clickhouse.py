# SPDX-License-Identifier: Apache-2.0
"""The client: what a URL names, what an answer is, TLS."""

import re
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tracer.errors import UsageError
from tracer.output.clickhouse import Access, Away, Connection, Refused, Target, quoted, target_of


@pytest.mark.parametrize(
    ("url", "hosts", "database", "user"),
    [
        ("clickhouse://ann@db:9/net", [("db", 9)], "net", "ann"),
        ("clickhouse://db", [("db", 8443)], "default", "default"),
        ("clickhouse://a,b:1,[::1]:2,[fe80::1%eth0]/n",
         [("a", 8443), ("b", 1), ("::1", 2), ("fe80::1%eth0", 8443)], "n", "default"),
        ("clickhouse://ann%40x@10.0.0.1/a%20b", [("10.0.0.1", 8443)], "a b", "ann@x"),
    ],
)  # fmt: skip
def test_what_a_url_names(url, hosts, database, user):
    assert target_of(url, tls=True) == Target(tuple(hosts), database, user, {})


def test_the_port_without_tls_and_settings():
    target = target_of("clickhouse://db/net?insert_quorum=2&x=", tls=False)
    assert target.hosts == (("db", 8123),)
    assert target.settings == {"insert_quorum": "2", "x": ""}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "--to is no URL of a ClickHouse server"),
        ("db:8443", "--to is no URL of a ClickHouse server"),
        ("http://db/net", "--to is no URL of a ClickHouse server"),
        ("clickhouse://", "'' in --to is no host"),
        ("clickhouse://a,,b/n", "'' in --to is no host"),
        ("clickhouse://a:x/n", "'a:x' in --to is no host"),
        ("clickhouse://a:65536/n", "'a:65536' in --to is no host"),
        ("clickhouse://a b/n", "'a b' in --to is no host"),
        ("clickhouse://ann:secret@db/n", "a password in --to is shown to all users"),
    ],
)
def test_what_is_no_url(url, says):
    with pytest.raises(UsageError, match=re.escape(says)) as refused:
        target_of(url, tls=True)
    assert "secret" not in str(refused.value)


def test_strings_are_quoted():
    assert quoted("a'b\\") == "'a\\'b\\\\'"


@pytest.fixture
def answering():
    """Starts a server that gives this answer, and keeps what it was asked. Returns its port."""
    begun = []

    def start(status, text, headers=(), context=None):
        class Front(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                start.asked = self.path, self.headers, self.rfile.read(length)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Front)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        begun.append((server, thread))
        return server.server_address[1]

    yield start
    for server, thread in begun:
        server.shutdown()
        thread.join()
        server.server_close()


def connected(port, password="", tls=None, host="127.0.0.1"):
    settings = {"insert_quorum": "2", "async_insert": "1"}
    return Connection((host, port), Target((), "net", "ann", settings), Access(password, tls))


def test_what_is_asked(answering):
    connection = connected(answering(200, "a\tb\nc\td\n"), "s3cret")
    assert connection.ask("SELECT 1") == [["a", "b"], ["c", "d"]]
    path, headers, body = answering.asked
    assert path == "/?insert_quorum=2&async_insert=1&database=net&wait_end_of_query=1"
    assert headers["Authorization"] == "Basic YW5uOnMzY3JldA=="
    assert body == b"SELECT 1"
    connection.close()


def test_what_is_set_for_a_query_goes_before_what_the_url_sets(answering):
    connection = connected(answering(200, ""))
    connection.insert("events", b"", {"async_insert": "0"})
    path, headers, _ = answering.asked
    assert "async_insert=0" in path
    assert "async_insert=1" not in path
    assert "query=INSERT+INTO+events+FORMAT+JSONEachRow" in path
    assert headers["Content-Encoding"] == "gzip"
    connection.close()


@pytest.mark.parametrize(
    ("status", "text", "headers", "code", "says"),
    [
        (500, "Code: 27. DB::Exception: bad", [("X-ClickHouse-Exception-Code", "27")], 27, "bad"),
        (500, "Code: 60, e.displayText() = DB::Exception: none, e.what() = DB", [], 60, "none"),
        (200, "Code: 241. DB::Exception: memory", [], 241, "memory"),
        (200, "", [("X-ClickHouse-Exception-Code", "241")], 241, "no reason is given"),
        (502, "<html>Bad Gateway", [], 0, "Bad Gateway"),
        (301, "", [], 0, "no reason is given"),
    ],
)  # fmt: skip
def test_what_is_an_exception(answering, status, text, headers, code, says):
    connection = connected(answering(status, text, headers))
    with pytest.raises(Refused, match=says) as refused:
        connection.insert("events", b"", {})
    assert refused.value.code == code
    assert "e.what" not in str(refused.value)


def test_nobody_is_there():
    with pytest.raises(Away, match="Connection refused"):
        connected(1)
    with pytest.raises(Away):
        connected(1, host="a" * 300)


@pytest.fixture
def certificate(tmp_path):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out",
         tmp_path / "certificate"], capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return tmp_path / "certificate"


def test_a_certificate_is_checked(answering, certificate):
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, certificate.with_name("key"))
    port = answering(200, "1\n", context=served)
    with pytest.raises(Away, match="its certificate is not valid: self-signed certificate"):
        connected(port, tls=ssl.create_default_context())
    connection = connected(port, tls=ssl.create_default_context(cafile=certificate))
    assert connection.ask("SELECT 1") == [["1"]]
    connection.close()
