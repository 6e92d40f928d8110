#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/native/install_deb.sh PACKAGE: installs it with apt-get, tries what it brought, removes and
# purges it. To be run as root in a root that is thrown away (scripts/userland --fresh), in the
# checkout. Each step is printed; it ends at the first that fails.
set -euxo pipefail
export DEBIAN_FRONTEND=noninteractive

apt_get() { apt-get -qq -o Dpkg::Use-Pty=0 "$@"; }

# what there is of it, apart from the checkout, from what scripts/userland made, and from what
# man keeps of the pages that it has shown
traces() {
    find / '(' -path /proc -o -path /sys -o -path /opt/sockwatch -o -path "$PWD" \
        -o -path /var/cache/man ')' -prune -o -iname '*sockwatch*' -print
}

apt_get update
apt_get install --no-install-recommends iproute2 man-db
traces > /tmp/before
apt_get install --no-install-recommends "$1"

# its files
readarray -t files < <(dpkg -L sockwatch)
[ -z "$(find "${files[@]}" -maxdepth 0 '(' '!' -user root -o '!' -group root -o -perm /022 ')')" ]
dpkg --verify sockwatch
[ "$(dpkg-query -W -f '${Conffiles}' sockwatch | awk '{ print $1 }' | sort | xargs)" = \
    '/etc/default/sockwatch /etc/default/sockwatch-ship' ]
[ -e /usr/share/zsh/vendor-completions/_sockwatch ]
[ -e /usr/share/fish/vendor_completions.d/sockwatch.fish ]
[ -e /usr/share/sockwatch/tracer/__pycache__ ]
# shellcheck source=packaging/completion/sockwatch.bash
(   . /usr/share/bash-completion/completions/sockwatch
    COMP_WORDS=(sockwatch --log-ma) COMP_CWORD=1 COMPREPLY=()
    _sockwatch_completion sockwatch
    [ "${COMPREPLY[*]}" = --log-max-size ])

# its man pages; that of the command is the same whichever click there is
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PWD python3 packaging/man.py | cmp - packaging/sockwatch.1
whatis sockwatch sockwatch-log
man sockwatch > /tmp/page
grep -- '--dst ADDR' /tmp/page
man sockwatch-log > /tmp/page
grep process.comm /tmp/page

# tracing
cd /
[ "$(sockwatch --version)" = "sockwatch, version $(dpkg-query -W -f '${Version}' sockwatch)" ]
sockwatch --dst 127.0.0.9 --duration 1 --no-log
send='import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.9", 9))'
sockwatch --dst 127.0.0.9 -- python3 -c "$send"
grep '"addr":"127.0.0.9","port":9' /var/log/sockwatch/events.jsonl

# sockets, in a network of its own
# shellcheck disable=SC2016  # expanded by the inner shell
unshare --net bash -euxc '
    ip link add near type veth peer far
    ip addr add 10.0.0.1/24 dev near
    listen="import socket, subprocess; server = socket.create_server((\"\", 4711))"
    python3 -c "$listen; subprocess.run([\"sockwatch\", \"sockets\", \"--exposed\", \"--json\"])"
    ' > /tmp/exposed
grep '"port":4711.*"reachable":\[{"addr":"10.0.0.1","interface":"near"}\]' /tmp/exposed
cd -

# Nothing was enabled; what the administrator enables, and writes, goes when it is purged.
enabled=/etc/systemd/system/multi-user.target.wants/sockwatch.service
[ ! -e $enabled ]
mkdir -p ${enabled%/*} /var/log/private/sockwatch /var/cache/private/sockwatch
ln -s /usr/lib/systemd/system/sockwatch.service $enabled
echo 'OPTIONS="--dst 127.0.0.9"' >> /etc/default/sockwatch
apt_get install --reinstall "$1"
grep '^OPTIONS' /etc/default/sockwatch
apt_get remove sockwatch
[ ! -e /usr/share/sockwatch ]
[ -e /var/log/sockwatch/events.jsonl ]
apt_get purge sockwatch
traces | diff /tmp/before -
