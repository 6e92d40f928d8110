# SPDX-License-Identifier: Apache-2.0
"""The current engine, chdb, behind as much of ClickHouse's HTTP interface as ship uses."""

import contextlib
import gzip
import http.client
import importlib.util
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.servers import process

_CONFIG = """\
<clickhouse>
  <users_config>{folder}/users.xml</users_config>
  <user_directories><users_xml><path>{folder}/users.xml</path></users_xml></user_directories>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
  </access_control_improvements>
  {more}
</clickhouse>
"""
_USERS = """\
<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    {rights}
  </default></users>
</clickhouse>
"""
_ADMIN = "<access_management>1</access_management>"
CLUSTER = """\
<macros><cluster>fleet</cluster></macros>
<remote_servers><fleet><shard><replica>
  <host>127.0.0.1</host><port>1</port>
</replica></shard></fleet></remote_servers>
"""
_ZOOKEEPER = (
    "<zookeeper><node><host>127.0.0.1</host><port>{port}</port></node></zookeeper>"
    + CLUSTER.replace("<macros>", "<macros><shard>s0</shard><replica>r0</replica>")
)


def is_installed():
    return importlib.util.find_spec("chdb") is not None


class Engine:
    """An engine that answers on ``port``."""

    def __init__(self, port):
        self.port = port

    def query(self, text, database="default", **settings):
        """Returns the rows, each a list of text. Raises RuntimeError with the engine's message."""
        asked = urllib.parse.urlencode({"database": database, **settings})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", f"/?{asked}", text.encode())
            answer = connection.getresponse()
            found = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(found)
        return [line.split("\t") for line in found.splitlines()]


@contextlib.contextmanager
def running(folder, grants=None, zookeeper=None, macros=""):
    """Yields an engine with its data in the folder. ``grants``: its user has only these."""
    folder.mkdir(exist_ok=True)
    listed = "".join(f"<query>{grant}</query>" for grant in grants or ())
    more = _ZOOKEEPER.format(port=zookeeper) if zookeeper else macros
    (folder / "users.xml").write_text(
        _USERS.format(rights=f"<grants>{listed}</grants>" if grants else _ADMIN)
    )
    (folder / "config.xml").write_text(_CONFIG.format(folder=folder, more=more))
    (port,) = process.free_ports(1)
    engine = Engine(port)
    command = [sys.executable, "-m", "tests.servers.embedded", str(folder), str(port)]
    with process.started(command, folder, lambda: _answers(engine), cwd=Path.cwd()):
        yield engine


def _answers(engine):
    try:
        engine.query("SELECT 1")
    except RuntimeError:  # who may not, has an answer
        pass
    except OSError:
        return False
    return True


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    session = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        text = asked.pop("query", "")
        query = f"{text}\n{body.decode()}" if text else body.decode()
        database = asked.pop("database")
        asked.pop("wait_end_of_query", None)
        try:
            self.session.query(f"USE {database}")
            for name, value in asked.items():
                self.session.query(f"SET {name} = '{value}'")
            found = self.session.query(query, "TSV").bytes() or b""
            for name in asked:
                self.session.query(f"SET {name} = DEFAULT")
        except RuntimeError as error:
            self._answer(500, str(error).encode())
        else:
            self._answer(200, found)

    def _answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def main(folder, port):
    from chdb import session  # noqa: PLC0415 (it takes long)

    _Front.session = session.Session(f"{folder}/data?config-file={folder}/config.xml")
    HTTPServer(("127.0.0.1", int(port)), _Front).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
