# SPDX-License-Identifier: Apache-2.0
"""The pure description of each probe: its hooks, and the text of its program."""

import enum
import mmap
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tracer.kernel import abi

# Fields of struct pt_regs that BCC's PT_REGS_ macros and in_task() use.
_REGISTERS: Final[Mapping[str, dict[str, str]]] = defaultdict(
    dict,
    x86_64={name: f"u64 {name}" for name in ("di", "si", "dx", "cx", "ax", "orig_ax")},
    aarch64={"regs": "u64[31] regs"},
)

# Structs and fields that the C text reads: field name there -> "TYPE PATH" in the kernel.
KERNEL_STRUCTS: Final = {
    "net": {
        "inum": "u32 ns.inum",
        "net_cookie": "optional u64 net_cookie",
        # how many refer to it: the name of that has changed twice
        "ns_ref": "optional u32 ns.__ns_ref.refs.counter",
        "ns_count": "optional u32 ns.count.refs.counter",
        "count": "optional u32 count.refs.counter",
    },
    "net_device": {
        "net": "struct net * nd_net.net",
        "name": "char[16] name",
        "ifindex": "int ifindex",
        "flags": "u32 flags",
        "type": "u16 type",
        "adj_upper": "void * adj_list.upper.next",
        "adj_lower": "void * adj_list.lower.next",
    },
    "netdev_adjacent": {"dev": "struct net_device * dev", "list": "void * list.next"},
    "rt6_info": {"rt6i_idev": "struct inet6_dev * rt6i_idev"},
    "inet6_dev": {"dev": "struct net_device * dev"},
    "file": {
        "dentry": "struct dentry * f_path.dentry",
        "mnt": "struct vfsmount * f_path.mnt",
        "inode": "struct inode * f_inode",
        "private_data": "void * private_data",
    },
    "inode": {"i_ino": "u64 i_ino", "i_sb": "struct super_block * i_sb"},
    "super_block": {"s_dev": "u32 s_dev"},
    "vfsmount": {},
    "dentry": {
        "d_parent": "struct dentry * d_parent",
        "name": "u8 * d_name.name",
        "d_hash_pprev": "u64 d_hash.pprev",
    },
    "mount": {
        "mnt_parent": "struct mount * mnt_parent",
        "mnt_mountpoint": "struct dentry * mnt_mountpoint",
        "mnt_root": "struct dentry * mnt.mnt_root",
    },
    "socket": {"sk": "struct sock * sk", "file": "struct file * file"},
    "sock": {
        "skc_family": "u16 __sk_common.skc_family",
        "skc_daddr": "u32 __sk_common.skc_daddr",
        "skc_rcv_saddr": "u32 __sk_common.skc_rcv_saddr",
        "skc_dport": "u16 __sk_common.skc_dport",
        "skc_num": "u16 __sk_common.skc_num",
        "skc_state": "u8 __sk_common.skc_state",
        "skc_bound_dev_if": "int __sk_common.skc_bound_dev_if",
        "skc_v6_daddr": "u8[16] __sk_common.skc_v6_daddr",
        "skc_v6_rcv_saddr": "u8[16] __sk_common.skc_v6_rcv_saddr",
        "skc_cookie": "u64 __sk_common.skc_cookie.counter",
        "net": "struct net * __sk_common.skc_net.net",
        "sk_socket": "struct socket * sk_socket",
        "sk_type": "u16 sk_type",
        "sk_protocol": "u16 sk_protocol",
        "sk_err": "int sk_err",
        "sk_shutdown": "u8 sk_shutdown",
        "sk_mark": "u32 sk_mark",
        "sk_uid": "u32 sk_uid.val",
        "sk_flags": "u64 __sk_common.skc_flags",
    },
    "inet_sock": {"inet_sport": "u16 inet_sport", "uc_index": "int uc_index"},
    "udp_sock": {"pending": "int pending", "gso_size": "u16 gso_size"},
    "tcp_sock": {
        "bytes_sent": "u64 bytes_sent",
        "bytes_retrans": "u64 bytes_retrans",
        "bytes_received": "u64 bytes_received",
    },
    "msghdr": {
        "msg_name": "void * msg_name",
        "msg_control": "void * msg_control",
        "msg_controllen": "u64 msg_controllen",
    },
    "sk_buff": {
        "dev": "struct net_device * dev",
        "sk": "struct sock * sk",
        "_skb_refdst": "u64 _skb_refdst",
        "protocol": "u16 protocol",
        "network_header": "u16 network_header",
        "transport_header": "u16 transport_header",
        "inner_network_header": "u16 inner_network_header",
        "head": "u8 * head",
        "data": "u8 * data",
        "len": "u32 len",
        "data_len": "u32 data_len",
        "end": "u32 end",
        "skb_iif": "int skb_iif",
        "mark": "u32 mark",
        "users": "u32 users.refs.counter",
        "_nfct": "optional u64 _nfct",  # a kernel with connection tracking
    },
    "optional nf_conntrack_tuple": {
        "src_addr": "u32[4] src.u3.all",
        "src_port": "u16 src.u.all",
        "l3num": "u16 src.l3num",
        "dst_addr": "u32[4] dst.u3.all",
        "dst_port": "u16 dst.u.all",
        "protonum": "u8 dst.protonum",
    },
    "optional nf_conntrack_tuple_hash": {"tuple": "struct nf_conntrack_tuple tuple"},
    "optional nf_conn": {"tuplehash": "struct nf_conntrack_tuple_hash[] tuplehash"},
    "skb_shared_info": {"gso_segs": "u16 gso_segs", "dataref": "u32 dataref.counter"},
    "neighbour": {
        "arp_queue_next": "struct sk_buff * arp_queue.next",
        "arp_queue_prev": "struct sk_buff * arp_queue.prev",
        "nud_state": "u8 nud_state",
    },
    "fdtable": {"max_fds": "u32 max_fds", "fd": "struct file ** fd"},
    "files_struct": {"fdt": "struct fdtable * fdt"},
    "mm_struct": {
        "exe_file": "struct file * exe_file",
        "arg_start": "u64 arg_start",
        "arg_end": "u64 arg_end",
    },
    "signal_struct": {"live": "int live.counter"},
    "nsproxy": {
        "net_ns": "struct net * net_ns",
        "mnt_ns": "struct mnt_namespace * mnt_ns",
    },
    "mnt_namespace": {"inum": "u32 ns.inum"},
    "pid_namespace": {"inum": "u32 ns.inum"},
    "upid": {"nr": "int nr", "ns": "struct pid_namespace * ns"},
    "pid": {"level": "u32 level", "numbers": "struct upid[] numbers"},
    "task_struct": {
        "flags": "u32 flags",
        "preempt_count": "optional u32 thread_info.preempt.count",  # arm64
        "stack": "void * stack",
        "pid": "int pid",
        "tgid": "int tgid",
        "self_exec_id": "u64 self_exec_id",
        "loginuid": "optional u32 loginuid.val",
        "mm": "struct mm_struct * mm",
        "signal": "struct signal_struct * signal",
        "nsproxy": "struct nsproxy * nsproxy",
        "thread_pid": "struct pid * thread_pid",
        "start_boottime": "u64 start_boottime",
        "group_leader": "struct task_struct * group_leader",
        "real_parent": "struct task_struct * real_parent",
        "children": "void * children.next",
        "sibling": "void * sibling.next",
        "files": "struct files_struct * files",
        "comm": "char[16] comm",
    },
    "pt_regs": _REGISTERS[platform.machine()],
}


OVERFLOW_ENTRIES: Final = 16_384  # flows in each overflow map, and in each of what is received
SENT_ENTRIES: Final = 8192  # devices that the witness counts for; of more, the counters disagree
WATCHED_ENTRIES: Final = 8192  # network namespaces that it need not be told of, or counts calls in
NEWCOMER_PAGES: Final = 16  # room for thousands of those that it is told of
PROCESS_RING_PAGES: Final = 512  # room for some 10,000 short processes between two reads


class HookKind(enum.Enum):
    """How a function of ours is attached to the kernel."""

    TRACEPOINT = "tracepoint"  # BTF-typed raw tracepoint (BPF_TRACE_RAW_TP)
    FENTRY = "fentry"
    FEXIT = "fexit"
    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"
    INGRESS = "ingress"  # of a cgroup (BPF_CGROUP_INET_INGRESS)


@dataclass(frozen=True)
class Hook:
    """A C function of ours and the place in the kernel that it is attached to: a function or
    tracepoint, or, for INGRESS, the path of a cgroup."""

    function: str
    kind: HookKind
    target: str
    blind_spot: str = ""  # what is not seen where the kernel refuses it; empty: the probe needs it
    files: tuple[str, ...] = ()  # in bpf/, without .bpf.c, that not all hooks need
    instead_of: str = ""  # a function of another hook; this one is attached only if that is not


_ACCEPT: Final = "inet_csk_accept"


@dataclass(frozen=True)
class Probe:
    """One way to see the traffic."""

    name: str
    files: tuple[str, ...]  # in bpf/, without .bpf.c
    hooks: tuple[Hook, ...]
    # Sets of macros to compile with, tried in order until one loads.
    variants: tuple[tuple[str, ...], ...] = ((),)
    # What this probe does not see, which the user is told.
    blind_spots: tuple[str, ...] = ()

    @property
    def sees_accept(self) -> bool:
        """Whether it sees which process accepts a connection."""
        return any(hook.target == _ACCEPT for hook in self.hooks)


def _tracepoints(*names: str) -> tuple[Hook, ...]:
    return tuple(Hook(name, HookKind.TRACEPOINT, name) for name in names)


def _on(kind: HookKind, *targets: str) -> tuple[Hook, ...]:
    return tuple(Hook(f"{kind.value}_{target}", kind, target) for target in targets)


def _again(kind: HookKind, *targets: str) -> tuple[Hook, ...]:
    """Hooks that run after those of ``_on()``, which come after these: the last one attached runs
    first."""
    return tuple(Hook(f"{kind.value}_again_{target}", kind, target) for target in targets)


SOCK_ADDR: Final = "__cgroup_bpf_run_filter_sock_addr"  # of CONFIG_CGROUP_BPF
SOCK_ADDR_TYPES: Final = (
    "CGROUP_INET4_CONNECT", "CGROUP_INET6_CONNECT", "CGROUP_UDP4_SENDMSG", "CGROUP_UDP6_SENDMSG",
)  # fmt: skip
_REWRITTEN: Final = "destinations as they were named, where a program of a cgroup has replaced them"
_DIRECT: Final = "packet sockets with PACKET_QDISC_BYPASS, AF_XDP"
_NETPOLL: Final = "netconsole"


def _past_the_queue(kind: HookKind) -> tuple[Hook, ...]:
    """Hooks on what passes net_dev_queue by; a kernel may lack them."""
    return (
        Hook(f"{kind.value}_dev_direct_xmit", kind, "__dev_direct_xmit", _DIRECT),
        Hook(f"{kind.value}_netpoll_send_skb", kind, "netpoll_send_skb", _NETPOLL),
    )


def _sock_graft(kind: HookKind) -> Hook:
    """A hook on what inet_accept() calls for a new connection, with CONFIG_SECURITY_NETWORK."""
    missing = "who accepts a connection by a call that began before the start"
    return Hook(f"{kind.value}_security_sock_graft", kind, "security_sock_graft", missing)


def _sock_addr(kind: HookKind) -> Hook:
    """A hook on what runs the programs of cgroups that may replace a destination."""
    return Hook(f"{kind.value}_cgroup_sock_addr", kind, SOCK_ADDR, _REWRITTEN)


# bpf_get_socket_cookie() for tracing programs: Linux 5.12 (commit c5dbb89fc2ac)
_COOKIE: Final = "HAVE_SOCKET_COOKIE"
# A connection takes memory while it is open. Of programs on kprobes, Linux 5.10 wants maps that are
# allocated beforehand, or it warns and taints itself (check_map_prog_compatibility()).
_ON_DEMAND: Final = "CONNECTIONS_FLAGS=BPF_F_NO_PREALLOC"
_OF_KPROBE: Final = ("CONNECTIONS_FLAGS=0", "UNTYPED_ARGUMENTS")  # see READ_ARGUMENT()
_VARIANTS: Final = ((_COOKIE, _ON_DEMAND), (_ON_DEMAND,))

# What every probe sees: processes, packets (the better probes: those of senders other than UDP
# sockets), and the life of TCP connections.
_ALWAYS: Final = _tracepoints(
    # ends first, so that none is missed of a process that was added to the filter at its fork
    "sched_process_exit", "sched_process_fork", "sched_process_exec",
    "net_dev_queue", "neigh_update", "neigh_update_done", "neigh_event_send_done",
    "inet_sock_set_state",
)  # fmt: skip
_SENDS: Final = ("udp_sendmsg", "udpv6_sendmsg")
_CONNECTS: Final = ("tcp_v4_connect", "tcp_v6_connect")
# The C text, in an order in which everything is defined before it is used.
_SHARED: Final = (
    "base", "addresses", "maps", "identity", "follow", "filter", "socket", "emit", "process",
    "headers", "packet", "route", "nat", "stacked", "fragments", "sender", "tcp", "syn",
    "neighbour", "forward", "device",
)  # fmt: skip
_CALLS: Final = ("cork", "rewrite", "udp_call", "tcp_call", "bypass")
_BYPASSING: Final = f"{_DIRECT}, {_NETPOLL}"
_ZERO_COPY: Final = "AF_XDP in zero-copy mode"
# of a kernel that has NAT, but does not describe struct nf_conn
NAT_BLIND_SPOT: Final = "which ends NAT has changed, and what they were before"
_UNREAD: Final = "what packet sockets send by PACKET_TX_RING or in frames of over 4 KB (unread)"

FEXIT: Final = Probe(
    name="fexit",
    files=(*_SHARED, *_CALLS, "fexit"),
    hooks=(
        *_again(HookKind.FEXIT, *_SENDS),
        *_on(HookKind.FEXIT, *_SENDS),
        *_on(HookKind.FENTRY, "tcp_connect"),
        *_on(HookKind.FEXIT, *_CONNECTS, _ACCEPT),
        _sock_graft(HookKind.FENTRY),
        _sock_addr(HookKind.FEXIT),
        _sock_addr(HookKind.FENTRY),
        *_past_the_queue(HookKind.FENTRY),
        *_ALWAYS,
    ),
    variants=_VARIANTS,
    blind_spots=(_ZERO_COPY, _UNREAD),
)

KPROBE: Final = Probe(
    name="kprobe",
    files=(*_SHARED, *_CALLS, "calls", "kprobe"),
    hooks=(
        # returns first, so that no call is kept whose return would not be seen
        *_on(HookKind.KRETPROBE, *_SENDS, *_CONNECTS, _ACCEPT),
        _sock_addr(HookKind.KRETPROBE),
        *_on(HookKind.KPROBE, *_SENDS, "tcp_connect", *_CONNECTS),
        _sock_graft(HookKind.KPROBE),
        _sock_addr(HookKind.KPROBE),
        *_past_the_queue(HookKind.KPROBE),
        *_ALWAYS,
    ),
    variants=((_COOKIE, *_OF_KPROBE), _OF_KPROBE),
    blind_spots=(_ZERO_COPY, _UNREAD),
)

TRACEPOINT: Final = Probe(
    name="tracepoint",
    files=(*_SHARED, "tracepoint"),
    hooks=_ALWAYS,
    variants=_VARIANTS,
    blind_spots=(
        "UDP sends that fail before a device has them",
        "the protocol of what IPsec encrypts",
        _REWRITTEN,
        _BYPASSING,
        _UNREAD,
    ),
)

PROBES: Final = (FEXIT, KPROBE, TRACEPOINT)


# The probes that hook calls, and how they hook a call's beginning.
_ENTRIES: Final = {"fexit": HookKind.FENTRY, "kprobe": HookKind.KPROBE}


def with_witness(probe: Probe) -> Probe:
    """Returns the probe with hooks that count what each device's driver is handed, and tell of new
    network namespaces; where it hooks calls, also with those that count them."""
    kind = _ENTRIES.get(probe.name)
    calls = _counting(kind, *_SENDS) if kind else ()
    # ends first: an end without a beginning is not counted, a beginning without an end would be
    hooks = (
        *_tracepoints("net_dev_xmit", "net_dev_start_xmit"),
        Hook("exec_in_netns", HookKind.TRACEPOINT, "sched_process_exec"),
    )
    files = (*probe.files, "newcomer", "witness")
    return replace(probe, files=files, hooks=(*hooks, *calls, *probe.hooks))


def _counting(kind: HookKind, *targets: str) -> tuple[Hook, ...]:
    return tuple(
        Hook(f"{kind.value}_count_{target}", kind, target, files=("udp_calls",))
        for target in targets
    )


def with_forwarded(probe: Probe) -> Probe:
    """Returns the probe with a hook on what this machine hands on for others."""
    hook = Hook("net_dev_queue_forward", HookKind.TRACEPOINT, "net_dev_queue")
    return replace(probe, hooks=(*probe.hooks, hook))


_CONSUME: Final = "skb_consume_udp"
CONSUMED: Final = (f"fentry_{_CONSUME}", f"kprobe_{_CONSUME}")  # functions of ours


def with_received(probe: Probe, root_cgroup: str) -> Probe:
    """Returns the probe with hooks on what sockets receive: at the root of cgroup v2, else where
    processes read from UDP sockets. ``root_cgroup`` is where that is mounted; empty: nowhere."""
    kind = _ENTRIES.get(probe.name)
    others = "TCP's and UDP's" if kind else "TCP's"
    missing = f"what sockets other than {others} receive"
    files = ("received", "ingress")
    hooks = [Hook("ingress", HookKind.INGRESS, root_cgroup, missing, files)]
    if kind:
        missing, name = "what sockets of UDP receive", f"{kind.value}_{_CONSUME}"
        files = ("received", "consumed")
        hooks.append(Hook(name, kind, _CONSUME, missing, files, instead_of="ingress"))
    return replace(probe, hooks=(*probe.hooks, *hooks))


def bpf_folder() -> Path:
    """Returns the folder of the C text: in an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "bpf"
    return installed if installed.is_dir() else package.parent / "bpf"


def source(probe: Probe, kernel_declarations: str) -> str:
    """Returns the whole program of a probe as one C text, because BCC rewrites map access in its
    main file only."""
    folder = bpf_folder()
    files = dict.fromkeys([*probe.files, *(name for hook in probe.hooks for name in hook.files)])
    names = ["event.h", *(f"{name}.bpf.c" for name in files)]
    parts = [(folder / name).read_text() for name in names]
    return "\n".join([kernel_declarations, *parts, abi.layout_assertions()])


def compiler_flags(
    variant: Iterable[str],
    *,
    ring_pages: int,
    filter_entries: int,
    accept_arguments: int,
    sock_addr: Mapping[str, int],
    task_pt_regs: bool,
    pid_namespace: bool,
) -> list[str]:
    """Returns flags for the sizes and features that the C text takes from outside.

    ``ring_pages`` is a power of two, in pages of this machine. ``accept_arguments`` is how many
    arguments inet_csk_accept() has (four before Linux 6.10, commit 92ef0fd55ac8, then two).
    ``sock_addr``: the numbers by which ``rewrite.bpf.c`` tells what a program of a cgroup is for.
    ``task_pt_regs``: the kernel has that helper (Linux 5.15, commit dd6e10fbd9fb).
    ``pid_namespace``: the tracer is not in the initial one.
    """
    # THREAD_SIZE is not in BTF: 16 KiB on x86-64 and arm64, or a page where that is larger.
    thread_size = max(16384, mmap.PAGESIZE)
    return [
        f"-DRING_PAGES={ring_pages}",
        f"-DPROCESS_RING_PAGES={PROCESS_RING_PAGES}",
        f"-DOVERFLOW_ENTRIES={OVERFLOW_ENTRIES}",
        f"-DSENT_ENTRIES={SENT_ENTRIES}",
        f"-DWATCHED_ENTRIES={WATCHED_ENTRIES}",
        f"-DNEWCOMER_PAGES={NEWCOMER_PAGES}",
        f"-DFILTER_ENTRIES={filter_entries}",
        f"-DTHREAD_SIZE={thread_size}",
        f"-DINET_CSK_ACCEPT_ARGUMENTS={accept_arguments}",
        *(f"-D{name}={number}" for name, number in sock_addr.items()),
        *(["-DHAVE_TASK_PT_REGS"] if task_pt_regs else []),
        *(["-DPID_NAMESPACE"] if pid_namespace else []),
        *(f"-D{macro}" for macro in variant),
    ]
