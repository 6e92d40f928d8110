# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the other scripts: installs what is missing, once.

checkout=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
venv=$checkout/.venv
python=/usr/bin/python3   # BCC's Python module is built for the system's own

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# install_packages PACKAGE...: what of these Debian packages is missing
install_packages() {
    local missing=() package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = 'ii ' ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null || fail "install these first (named as in Debian): ${missing[*]}"
    [ "$(id -u)" = 0 ] || fail "run it as root once, to install: ${missing[*]}"
    echo "installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install --no-install-recommends "${missing[@]}"; } > /dev/null ||
        fail "apt-get could not install: ${missing[*]}"
}

# install_servers: those that tests ship to; they are started by tests only. Returns 1 where Debian
# does not have them, or they cannot be installed
install_servers() {
    local servers=(clickhouse-server zookeeper) package
    if ! dpkg-query -W "${servers[@]}" > /dev/null 2>&1; then
        { [ "$(id -u)" = 0 ] && command -v apt-get && apt-get -qq update; } > /dev/null || return 1
        for package in "${servers[@]}"; do
            [ -n "$(apt-cache madison "$package" 2> /dev/null)" ] || return 1
        done
        systemctl mask clickhouse-server.service > /dev/null 2>&1 || true
    fi
    install_packages "${servers[@]}"
}

# make_environment EXTRA: the virtual environment with the package and its pinned dependencies
make_environment() {
    local wanted stamp=$venv/.stamp versions=$checkout/scripts/constraints.txt
    wanted=$(cat "$checkout/pyproject.toml" "$versions"; echo "$checkout")
    if [ -e "$stamp$1" ] && [ "$(cat "$stamp$1")" = "$wanted" ]; then return; fi
    install_packages python3-bpfcc python3-venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is $("$python" -V); 3.11 or newer is needed"
    echo "making the virtual environment .venv" >&2
    "$python" -m venv --system-site-packages "$venv"
    # from 25.3 on, pip has a setting of its own for what builds
    PIP_CONSTRAINT=$versions PIP_BUILD_CONSTRAINT=$versions \
        "$venv/bin/pip" install --quiet --disable-pip-version-check --editable "$checkout$1"
    echo "$wanted" > "$stamp$1"
}
