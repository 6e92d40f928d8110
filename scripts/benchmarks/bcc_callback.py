# SPDX-License-Identifier: Apache-2.0
"""A program as BCC's tools are: a perf buffer, and a Python function called for each event, which
prints a line. bcc_callback.py ADDRESS"""

import contextlib
import os
import socket
import struct
import sys
import time

from tracer.kernel import btf, probes

LAYOUT = {
    "sk_buff": {
        name: declared
        for name, declared in probes.KERNEL_STRUCTS["sk_buff"].items()
        if name in ("head", "network_header")
    }
}
TEXT = """
struct event { u64 time; u32 pid, saddr, daddr; char comm[16]; };
BPF_PERF_OUTPUT(events);

RAW_TRACEPOINT_PROBE(net_dev_queue)
{
    struct sk_buff *skb = (void *)ctx->args[0];
    struct event event = {};
    u8 *head = 0;
    u16 offset = 0;

    bpf_probe_read_kernel(&head, sizeof(head), &skb->head);
    bpf_probe_read_kernel(&offset, sizeof(offset), &skb->network_header);
    bpf_probe_read_kernel(&event.saddr, 8, head + offset + 12);
    if (event.daddr != DADDR)
        return 0;
    event.time = bpf_ktime_get_ns();
    event.pid = bpf_get_current_pid_tgid() >> 32;
    bpf_get_current_comm(&event.comm, sizeof(event.comm));
    events.perf_submit(ctx, &event, sizeof(event));
    return 0;
}
"""


def main() -> None:
    """Until Ctrl-C."""
    os.environ["BCC_KERNEL_SOURCE"] = str(probes.bpf_folder())
    from bcc import BPF  # noqa: PLC0415  it must know the folder first

    (daddr,) = struct.unpack("=I", socket.inet_aton(sys.argv[1]))
    text = btf.declarations(btf.Btf(), LAYOUT) + TEXT
    bpf = BPF(text=text.encode(), cflags=[f"-DDADDR={daddr}"])
    lines: list[str] = []

    def show(_cpu: int, data: int, _size: int) -> None:
        event = bpf["events"].event(data)
        saddr, daddr = (
            socket.inet_ntop(socket.AF_INET, struct.pack("=I", addr))
            for addr in (event.saddr, event.daddr)
        )
        lines.append(
            f"{time.strftime('%H:%M:%S')} {event.pid} {event.comm.decode()} {saddr} {daddr}"
        )

    bpf["events"].open_perf_buffer(show, page_cnt=64)
    print("ready", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            bpf.perf_buffer_poll(100)
            if lines:
                print("\n".join(lines), flush=True)
                lines.clear()


if __name__ == "__main__":
    main()
