# SPDX-License-Identifier: Apache-2.0
"""ClickHouse by its HTTP interface, with the standard library's client."""

import base64
import http.client
import re
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tracer.errors import UsageError

_SCHEME: Final = "clickhouse"
_TLS_PORT: Final = 8443
_PLAIN_PORT: Final = 8123
_TIMEOUT: Final = 60.0  # seconds that a server may take to answer
_MAX_ANSWER: Final = 1 << 20  # bytes; more is no answer to what is asked here
_CODE: Final = re.compile(r"Code: (\d+)[,.]")
_EXAMPLE: Final = "give it as clickhouse://user@host:8443/database"


class Target(NamedTuple):
    """What a URL names: servers to be tried in this order, and what to ask them with.
    ``settings`` go with each query."""

    hosts: tuple[tuple[str, int], ...]
    database: str
    user: str
    settings: Mapping[str, str]


class Access(NamedTuple):
    """A password, and how TLS is checked; None: without TLS."""

    password: str
    tls: ssl.SSLContext | None


class Away(Exception):  # noqa: N818 (it is no error of ours)
    """A server did not answer. It may have got what was sent, and done it."""


class Refused(Exception):  # noqa: N818
    """A server answered with an exception. ``code`` is one of ClickHouse's error codes, 0 if the
    answer has none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def target_of(url: str, *, tls: bool, option: str = "--to") -> Target:
    """Takes ``clickhouse://user@host:port,host/database?setting=value`` apart, the value of an
    option. Raises UsageError."""
    scheme, found, rest = url.partition("://")
    if scheme != _SCHEME or not found:
        raise UsageError(f"{option} is no URL of a ClickHouse server", _EXAMPLE)
    place, _, query = rest.partition("?")
    servers, _, database = place.partition("/")
    user, _, names = servers.rpartition("@")
    if ":" in user:
        raise UsageError(
            f"a password in {option} is shown to all users, as by ps",
            "use --password-file, or the environment",
        )
    default = _TLS_PORT if tls else _PLAIN_PORT
    hosts = tuple(_host(name, default, option) for name in names.split(","))
    unquote = urllib.parse.unquote
    settings = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    return Target(hosts, unquote(database) or "default", unquote(user) or "default", settings)


def _host(text: str, default: int, option: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[^:@/\[\]\s]+)(?::([0-9]{1,5}))?", text)
    if not found or int(found[2] or default) > 0xFFFF:
        raise UsageError(f"'{text}' in {option} is no host", _EXAMPLE)
    return found[1].strip("[]"), int(found[2] or default)


def quoted(text: str) -> str:
    """Returns a string as SQL has it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Connection:
    """A connection to one server. It is to be closed soon: a server closes one that is idle."""

    def __init__(
        self, host: tuple[str, int], target: Target, access: Access, timeout: float = _TIMEOUT
    ) -> None:
        """``timeout``: seconds that an answer may take. Raises Away if nobody is there."""
        self.name = f"{host[0]}:{host[1]}"
        self._target = target
        secret = base64.b64encode(f"{target.user}:{access.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}"}
        self._http = (
            http.client.HTTPSConnection(*host, timeout=timeout, context=access.tls)
            if access.tls
            else http.client.HTTPConnection(*host, timeout=timeout)
        )
        try:
            self._http.connect()
        except (OSError, UnicodeError) as error:
            raise Away(_reason(error)) from None

    def close(self) -> None:
        """Closes it."""
        self._http.close()

    def ask(self, query: str, **settings: str) -> list[list[str]]:
        """Returns the rows of an answer. Raises Away and Refused."""
        answer = self._post(settings, query.encode(), {}).decode(errors="replace")
        return [line.split("\t") for line in answer.splitlines()]

    def read(self, query: str, most: int, settings: Mapping[str, str]) -> bytes:
        """Returns an answer as it is; one of more bytes is refused. Raises Away and Refused."""
        answer = self._post(settings, query.encode(), {}, most + 1)
        if len(answer) > most:
            self.close()
            raise Refused(0, f"the answer has more than {most:,} bytes")
        return answer

    def insert(self, table: str, rows: bytes, settings: Mapping[str, str]) -> None:
        """Inserts rows, which are JSONEachRow in gzip. Raises Away and Refused."""
        query = {"query": f"INSERT INTO {table} FORMAT JSONEachRow", **settings}
        answer = self._post(query, rows, {"Content-Encoding": "gzip"})
        if answer.strip():  # an exception after the status was sent
            raise _refusal(answer)

    def _post(
        self,
        parameters: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        most: int = _MAX_ANSWER,
    ) -> bytes:
        # wait_end_of_query: the status is that of the whole, not of its beginning
        asked = {
            **self._target.settings,
            "database": self._target.database,
            "wait_end_of_query": "1",
            **parameters,
        }
        try:
            self._http.request(
                "POST", f"/?{urllib.parse.urlencode(asked)}", body, {**self._headers, **headers}
            )
            response = self._http.getresponse()
            answer = response.read(most)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(_reason(error)) from None
        code = response.headers.get("X-ClickHouse-Exception-Code")
        if response.status != http.client.OK or code:
            self.close()
            raise _refusal(answer, code or "")
        return answer


def known(connection: Connection, column: str, table: str, names: Sequence[str]) -> frozenset[str]:
    """Returns which of these names are in a column of one of the server's system tables: what an
    old server lacks is found out by asking."""
    listed = ", ".join(map(quoted, names))
    rows = connection.ask(f"SELECT {column} FROM system.{table} WHERE {column} IN ({listed})")
    return frozenset(row[0] for row in rows)


def _refusal(answer: bytes, code: str = "") -> Refused:
    text = answer.decode(errors="replace").strip()
    found = _CODE.search(text)
    number = code if code.isdigit() else found[1] if found else "0"
    return Refused(int(number), text.partition(", e.what()")[0][:500] or "no reason is given")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__)
