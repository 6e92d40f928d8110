# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced after setup.sh by scripts/userland and scripts/vm: root file systems of other releases.

userlands=${XDG_CACHE_HOME:-$HOME/.cache}/sockwatch/userlands

userland_certificates=/etc/machine-certificates.crt

# What the tests need of an arm64 root, whose packages are unpacked but not configured: nothing
# of that machine's can run here.
arm64_packages=busybox-static,iproute2,kmod,mount,nftables,procps,python3-bpfcc,python3-click,python3-hypothesis,python3-pyroute2,python3-pytest,python3-wcwidth

# What the tests of the unit need of a root that systemd boots, where there is no network.
systemd_packages=dbus,iproute2,kmod,logrotate,procps,python3-bpfcc,python3-click,python3-pyroute2,python3-pytest,python3-wcwidth,systemd-sysv

# _packages NAME: those that are put into it
_packages() {
    case $1 in
        *-arm64) echo "$arm64_packages" ;;
        *-systemd) echo "$systemd_packages" ;;
    esac
}

# userland_root NAME: makes it, if it is not there yet, a month old or has other packages; prints its
# folder. Fails where there is none.
userland_root() {
    local name=$1
    case $name in
        bookworm | trixie | forky | trixie-arm64 | trixie-systemd) ;;
        *) echo "userland: no $name; there are bookworm, trixie, forky, trixie-arm64, trixie-systemd" >&2; return 1 ;;
    esac
    [ "$(id -u)" = 0 ] || { echo 'userland: run it as root' >&2; return 1; }
    mkdir -p "$userlands"
    exec 7> "$userlands/$name.lock"; flock 7       # two may be asked for at once
    if [ ! -d "$userlands/$name" ] || [ -n "$(find "$userlands/$name.tar" -mtime +30)" ] ||
        [ "$(cat "$userlands/$name.packages" 2> /dev/null)" != "$(_packages "$name")" ]; then
        _make_userland "$name" >&2 || [ -d "$userlands/$name" ] || return 1
    fi
    exec 7>&-
    echo "$userlands/$name"
}

_make_userland() {
    local name=$1 release=${1%-*} mirror tar=$userlands/$1.tar made
    (install_packages mmdebstrap) || return 1
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 ~ /^(bookworm|trixie|forky)$/ { print $1; exit }')
    [ -n "$mirror" ] || { echo 'userland: apt knows no Debian mirror'; return 1; }
    echo "making a root file system of $name"
    local options=(--variant=apt --include=mount)
    case $name in
        *-arm64) options=(--variant=extract --arch=arm64 --include='?essential' --include="$(_packages "$name")") ;;
        *-systemd) options+=(--include="$(_packages "$name")") ;;
    esac
    made=$(mktemp -d "$userlands/new.XXXXXX")
    # how apt gets at packages on this machine: proxies, mirrors that lag behind; it stays in the root
    apt-config dump | grep -E '^Acquire::(Check-|https?::).* "[^"]' > "$made.conf" || :
    mmdebstrap --quiet --mode=root --aptopt="$made.conf" "${options[@]}" "$release" "$made.tar" "$mirror" &&
        tar -C "$made" -xf "$made.tar" && userland_settings "$made" &&
        rm -rf --one-file-system "${userlands:?}/$name" && mv "$made.tar" "$tar" && mv "$made" "$userlands/$name" && rm "$made.conf" &&
        _packages "$name" > "$userlands/$name.packages" && return
    rm -rf "$made" "$made.tar" "$made.conf"
    return 1
}

# userland_settings ROOT: this machine's way to the package registries and to names
userland_settings() {
    local root=$1 file
    chmod 755 "$root"
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
        [ -e "$file" ] || continue
        mkdir -p "$root$(dirname "$file")"
        cp -L "$file" "$root$file"
    done
    # under a name that the root's own ca-certificates does not write to
    cp -L /etc/ssl/certs/ca-certificates.crt "$root$userland_certificates"
    # what a package's installation would have made of the files that it came with
    [ -e "$root/etc/passwd" ] || cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    [ -e "$root/etc/group" ] || cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
}

# userland_checkout ROOT: mounts this checkout there, with a virtual environment that is the
# root's own.
userland_checkout() {
    local root=$1 own
    own=$root/opt/sockwatch/$(cksum <<< "$checkout" | cut -d ' ' -f 1)
    mkdir -p "$root$checkout" "$own" "$checkout/.venv"
    mount --bind "$checkout" "$root$checkout"
    mount --bind "$own" "$root$checkout/.venv"
}

# userland_mounts ROOT: what a command there needs to be on it, in this mount namespace
userland_mounts() {
    local root=$1
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    mount -t tmpfs run "$root/run"
    mount -t tmpfs tmp "$root/tmp"
    userland_checkout "$root"
}
