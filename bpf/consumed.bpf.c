/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts what processes read from UDP sockets, where nothing can be attached to the root cgroup (see
 * ingress.bpf.c).
 */

/* Was a datagram only looked at (MSG_PEEK)? Then skb_consume_udp() is told less than 0 as what was read
 * (udp_recvmsg()), and of an empty one 0; but the socket's queue has it, too. */
static inline bool is_peeked(struct sk_buff *skb, int length)
{
	return length < 0 || (!length && READ(skb, users) > 1);
}

/* Sets both ends of a datagram, its sender's as the destination. */
static inline void set_ends_of_received(struct flow *flow, struct sk_buff *skb)
{
	u8 *head = READ(skb, head), header[IPV6_HEADER];
	u16 ports[2] = {};

	bpf_probe_read_kernel(header, sizeof(header), head + READ(skb, network_header));
	bpf_probe_read_kernel(ports, sizeof(ports), head + READ(skb, transport_header));
	if (header[0] >> 4 == 4) {
		set_ipv4(flow->daddr, *(u32 *)(header + 12));
		set_ipv4(flow->saddr, *(u32 *)(header + 16));
	} else {
		__builtin_memcpy(flow->daddr, header + 8, 16);
		__builtin_memcpy(flow->saddr, header + 24, 16);
	}
	flow->dport = bpf_ntohs(ports[0]);
	flow->sport = bpf_ntohs(ports[1]);
}

static inline void udp_consumed(struct sock *sk, struct sk_buff *skb, int length)
{
	struct event event = { .segments = 1 };
	struct flow *flow = &event.flow;
	u32 parts = active_filter_parts();

	if (is_peeked(skb, length))
		return;
	flow->kind = EVENT_RECEIVE;
	flow->proto = READ(sk, sk_protocol);
	flow->via = VIA_SOCKET;
	set_ends_of_received(flow, skb);
	if (!addresses_pass(parts, flow))
		return;
	FORGET(*flow);
	flow->netns = netns_of_sock(sk);
	flow->oif = has_zone(flow->daddr) * READ(skb, skb_iif);
	flow->cookie = known_cookie(sk);
	fill_process(flow);
	if (!process_passes(parts, flow))
		return;
	event.received = length;
	event.time = bpf_ktime_get_boot_ns();
	add_received(&event);
}

#ifdef UNTYPED_ARGUMENTS
int kprobe_skb_consume_udp(struct pt_regs *ctx)
{
	udp_consumed((struct sock *)PT_REGS_PARM1(ctx), (struct sk_buff *)PT_REGS_PARM2(ctx),
		     PT_REGS_PARM3(ctx));
	return 0;
}
#else
int fentry_skb_consume_udp(u64 *ctx)
{
	udp_consumed((struct sock *)ctx[0], (struct sk_buff *)ctx[1], ctx[2]);
	return 0;
}
#endif
