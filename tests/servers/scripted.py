# SPDX-License-Identifier: Apache-2.0
"""A server that answers as ClickHouse does, and fails when it is told to. What it is sent twice it
has twice, so that a test sees it."""

import base64
import contextlib
import gzip
import json
import re
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEFORE = "before"  # the connection breaks before the rows are taken
AFTER = "after"  # and after that
LATE = "late"  # status 200, an exception in the body
OLDER = "older"  # the table lacks a column
ASKED = re.compile(
    r"SELECT count\(\) FROM (\w+) WHERE token = '([^']*)' AND toYYYYMMDD\(time\) = (\d+)"
)


class Scripted:
    """``faults`` are what goes wrong with the next inserts: one of the above, None for nothing, or
    an exception's code. ``is_bad`` says which rows cannot be taken; ``shard``: it has replicas."""

    def __init__(self, shard=None):
        self.rows = {"events": [], "processes": [], "runs": []}
        self.faults = []
        self.queries = []
        self.inserts = []  # the parameters of each
        self.is_bad = lambda row: False  # noqa: ARG005
        self.shard = shard
        self.type = "DateTime64(9, 'UTC')"
        self.lacks = set()  # settings
        self.password = ""

    def events(self):
        """The numbers of the events that it has, as tests/log_writer.py makes them."""
        rows = self.rows["events"]
        return [(row if "bytes" in row else json.loads(row["more"]))["bytes"] for row in rows]

    def answer(self, query):
        self.queries.append(query)
        asked = ASKED.fullmatch(query)
        if asked:
            table, token, day = asked.groups()
            return sum(
                row["token"] == token and row["time"][:10].replace("-", "") == day
                for row in self.rows[table]
            )
        if "FROM system.settings" in query:
            return "\n".join(
                name for name in re.findall(r"'(\w+)'", query) if name not in self.lacks
            )
        if "FROM system.columns" in query:
            return self.type
        if "FROM system.tables" in query:
            return "ReplicatedMergeTree" if self.shard else "MergeTree"
        if "FROM system.functions" in query:
            return "getMacro"
        assert query == "SELECT getMacro('shard')", query
        return self.shard

    def insert(self, table, text, parameters):
        """Takes rows. Returns an exception's code and text if it does not."""
        self.inserts.append(parameters)
        fault = self.faults.pop(0) if self.faults else None
        rows = [json.loads(line) for line in text.splitlines()]
        if fault == BEFORE:
            raise ConnectionError
        if isinstance(fault, int):
            return fault, f"Code: {fault}. DB::Exception: as asked for. (CODE)"
        if fault == OLDER:
            return 117, "Code: 117. DB::Exception: Unknown field found while parsing: pid"
        bad = next((number for number, row in enumerate(rows) if self.is_bad(row)), None)
        if bad is not None:
            return 27, f"Code: 27. DB::Exception: Cannot parse input: (at row {bad + 1})"
        if fault == LATE:
            return None, "Code: 241. DB::Exception: Memory limit exceeded"
        self.rows[table] += rows
        if fault == AFTER:
            raise ConnectionError
        return None, ""


@contextlib.contextmanager
def running(scripted):
    """Yields the port that it answers on."""
    front = ThreadingHTTPServer(("127.0.0.1", 0), type("Front", (_Front,), {"asked": scripted}))
    thread = threading.Thread(target=front.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield front.server_address[1]
    finally:
        front.shutdown()
        thread.join()
        front.server_close()


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked = None

    def do_POST(self):
        parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self._answer(parameters.pop("query", ""), body, parameters)
        except ConnectionError:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, query, body, parameters):
        secret = base64.b64encode(f"default:{self.asked.password}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {secret}":
            self._say(516, "Code: 516. DB::Exception: Authentication failed")
        elif query:
            assert self.headers["Content-Encoding"] == "gzip"
            table = re.fullmatch(r"INSERT INTO (\w+) FORMAT JSONEachRow", query)[1]
            self._say(*self.asked.insert(table, gzip.decompress(body).decode(), parameters))
        else:
            answer = self.asked.answer(body.decode())
            self._say(None, f"{answer}\n" if answer != "" else "")

    def _say(self, code, text):
        self.send_response(500 if code else 200)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass
