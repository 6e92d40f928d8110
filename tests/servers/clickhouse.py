# SPDX-License-Identifier: Apache-2.0
"""ClickHouse servers on 127.0.0.1, from Debian's package: one alone, or shards, each with its
replicas."""

import http.client
import shutil
import urllib.parse

from tests.servers import process

_CONFIG = """\
<yandex>
  <logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
  <interserver_http_port>{interserver}</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>16777216</mark_cache_size>
  {more}
</yandex>
"""
_FLEET = """\
<zookeeper>
    <node><host>127.0.0.1</host><port>{zookeeper}</port></node>
    <session_timeout_ms>5000</session_timeout_ms>
  </zookeeper>
  <macros><shard>{shard}</shard><replica>{replica}</replica><cluster>fleet</cluster></macros>
  <remote_servers><fleet>{cluster}</fleet></remote_servers>
"""
_USERS = """\
<yandex>
  <profiles><default>
    <max_memory_usage>1000000000</max_memory_usage><background_pool_size>2</background_pool_size>
  </default></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </default>
    <shipper>
      <password>s3cret</password><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </shipper>
  </users>
</yandex>
"""


def is_installed():
    return shutil.which("clickhouse-server") is not None


class Server:
    """One of a fleet's servers; ``port`` is that of HTTP."""

    def __init__(self, folder, config, shard=None):
        self.folder = folder
        self.port = config["http"]
        self.shard = shard
        folder.mkdir()
        (folder / "config.xml").write_text(_CONFIG.format(folder=folder, **config))
        (folder / "users.xml").write_text(_USERS)
        self._process = None

    def start(self):
        command = ["clickhouse-server", f"--config-file={self.folder}/config.xml"]
        self._process = process.start(command, self.folder, self._answers)

    @property
    def pid(self):
        return self._process.pid

    def kill(self):
        """Ends it at once, as a power cut does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def query(self, text, database="default", **settings):
        """Returns the rows, each a list of text. Raises RuntimeError with the server's message."""
        asked = urllib.parse.urlencode(
            {"database": database, "wait_end_of_query": 1,
             "allow_experimental_low_cardinality_type": 1, **settings}
        )  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", f"/?{asked}", text.encode())
            answer = connection.getresponse()
            found = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(found)
        return [line.split("\t") for line in found.splitlines()]

    def _answers(self):
        try:
            return self.query("select 1") == [["1"]]
        except OSError:
            return False


def alone(folder):
    """Returns a server without shards and replicas that is not started yet."""
    return Server(folder, _config(*process.free_ports(3), ""))


def fleet(folder, zookeeper, shards, replicas):
    """Returns servers that are not started yet, each shard's replicas in turn."""
    places = [
        (f"s{shard}", f"r{replica}") for shard in range(shards) for replica in range(replicas)
    ]
    ports = [process.free_ports(3) for _ in places]
    cluster = "".join(
        "<shard><internal_replication>true</internal_replication>"
        + "".join(
            f"<replica><host>127.0.0.1</host><port>{tcp}</port></replica>"
            for (shard, _), (_, tcp, _) in zip(places, ports, strict=True)
            if shard == f"s{number}"
        )
        + "</shard>"
        for number in range(shards)
    )
    return [
        Server(
            folder / f"{shard}{replica}",
            _config(
                http_port, tcp, interserver,
                _FLEET.format(zookeeper=zookeeper, shard=shard, replica=replica, cluster=cluster),
            ),
            shard,
        )
        for (shard, replica), (http_port, tcp, interserver) in zip(places, ports, strict=True)
    ]  # fmt: skip


def _config(http_port, tcp, interserver, more):
    return {"http": http_port, "tcp": tcp, "interserver": interserver, "more": more}
