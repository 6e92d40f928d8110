/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kprobe probe: one hook on the entry and one on the return of each call.
 */

/*
 * The kernel passes over a kprobe while another BPF program of that kind runs on the CPU
 * (bpf_prog_active, trace_call_bpf()). If it passed over the entry of a call, no call is kept, and
 * the packet is reported in its place.
 */
static inline bool probe_reports(void *ctx, struct sk_buff *skb, struct sock *sk, u8 via)
{
	if (!is_udp_socket(sk, via) || is_corked(sk))
		return false;
	return call_is_kept(UDP_SENDMSG, sk) || call_is_kept(UDPV6_SENDMSG, sk) || !is_own(ctx, skb);
}

int kprobe_udp_sendmsg(struct pt_regs *ctx)
{
	send_begins(ctx, UDP_SENDMSG);
	return 0;
}

/* udpv6_sendmsg() calls it for IPv4; such a call is reported here. */
int kretprobe_udp_sendmsg(struct pt_regs *ctx)
{
	send_returns(ctx, UDP_SENDMSG);
	forget_call(UDPV6_SENDMSG);
	return 0;
}

int kprobe_udpv6_sendmsg(struct pt_regs *ctx)
{
	send_begins(ctx, UDPV6_SENDMSG);
	return 0;
}

int kretprobe_udpv6_sendmsg(struct pt_regs *ctx)
{
	send_returns(ctx, UDPV6_SENDMSG);
	forget_call(UDP_SENDMSG);
	return 0;
}

int kprobe_tcp_connect(struct pt_regs *ctx)
{
	connect_attempted((struct sock *)PT_REGS_PARM1(ctx));
	return 0;
}

int kprobe_tcp_v4_connect(struct pt_regs *ctx)
{
	connect_begins(ctx, TCP_V4_CONNECT);
	return 0;
}

int kretprobe_tcp_v4_connect(struct pt_regs *ctx)
{
	connect_returns(ctx, TCP_V4_CONNECT);
	forget_call(TCP_V6_CONNECT);
	return 0;
}

int kprobe_tcp_v6_connect(struct pt_regs *ctx)
{
	connect_begins(ctx, TCP_V6_CONNECT);
	return 0;
}

int kretprobe_tcp_v6_connect(struct pt_regs *ctx)
{
	connect_returns(ctx, TCP_V6_CONNECT);
	return 0;
}

int kretprobe_inet_csk_accept(struct pt_regs *ctx)
{
	accept_returned((struct sock *)PT_REGS_RC(ctx));
	return 0;
}

int kprobe_security_sock_graft(struct pt_regs *ctx)
{
	accept_returned((struct sock *)PT_REGS_PARM1(ctx));
	return 0;
}

int kprobe_cgroup_sock_addr(struct pt_regs *ctx)
{
	u32 type = SOCK_ADDR_TYPE_ARGUMENT == 3 ? PT_REGS_PARM4(ctx) : PT_REGS_PARM3(ctx);

	rewriting_begins((struct sock *)PT_REGS_PARM1(ctx), (void *)PT_REGS_PARM2(ctx), type);
	return 0;
}

int kretprobe_cgroup_sock_addr(struct pt_regs *ctx)
{
	rewriting_ends();
	return 0;
}

/* A program on a kprobe cannot follow the kernel's pointers, so it follows those of a copy. The kernel
 * runs one such program at a time on a CPU (bpf_prog_active). */
BPF_PERCPU_ARRAY(copied_skb, struct sk_buff, 1);

static inline void copy_bypasses_queue(void *ctx, struct sk_buff *skb)
{
	u32 zero = 0;
	struct sk_buff *copy = copied_skb.lookup(&zero);

	if (copy && !bpf_probe_read_kernel(copy, sizeof(*copy), skb))
		packet_bypasses_queue(ctx, copy, known_cookie(READ(skb, sk)));
}

int kprobe_dev_direct_xmit(struct pt_regs *ctx)
{
	copy_bypasses_queue(ctx, (struct sk_buff *)PT_REGS_PARM1(ctx));
	return 0;
}

int kprobe_netpoll_send_skb(struct pt_regs *ctx)
{
	copy_bypasses_queue(ctx, (struct sk_buff *)PT_REGS_PARM2(ctx));
	return 0;
}
