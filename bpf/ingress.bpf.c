/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts what sockets receive, by flow: the kernel runs a cgroup's ingress program for a packet once
 * its socket is known (sk_filter_trim_cap()), with the IP header in front and all fragments joined. At
 * the root cgroup that is every packet, in whatever network namespace. The sockets of TCP count by
 * themselves (struct tcp_info). Whose a socket is, the tracer finds out.
 */

#define DELIVER 1		/* what such a program returns, unless it drops the packet */
#define INGRESS_EXTENSIONS 4	/* IPv6 extension headers that are stepped over */

/* Steps over the extension headers that are left when a packet has arrived. Returns where the rest
 * begins. */
static inline u32 skip_received_extensions(struct __sk_buff *skb, u8 *protocol)
{
	u32 at = IPV6_HEADER;
	u8 header[2];

#pragma clang loop unroll(disable)
	for (int i = 0; i < INGRESS_EXTENSIONS && is_extension(*protocol); i++) {
		if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
			break;
		at += *protocol == IPV6_FRAGMENT ? 8 : 8 * (header[1] + 1);
		*protocol = header[0];
	}
	return at;
}

/* Sets a received packet's ends, its sender's as the destination. Returns where what is below IP
 * begins; 0: it is no IP packet. */
static inline u32 set_received_ends(struct flow *flow, struct __sk_buff *skb)
{
	u8 header[IPV6_HEADER];

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, header, IPV4_HEADER))
			return 0;
		flow->proto = header[9];
		set_ipv4(flow->daddr, *(u32 *)(header + 12));
		set_ipv4(flow->saddr, *(u32 *)(header + 16));
		return 4 * (header[0] & 15);
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
	    bpf_skb_load_bytes(skb, 0, header, IPV6_HEADER))
		return 0;
	flow->proto = header[6];
	__builtin_memcpy(flow->daddr, header + 8, 16);
	__builtin_memcpy(flow->saddr, header + 24, 16);
	return skip_received_extensions(skb, &flow->proto);
}

/* Returns the type of the socket that a packet is for, as SOCK_STREAM. */
static inline u32 type_of_receiver(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return sk ? sk->type : 0;
}

static inline void set_received_ports(struct flow *flow, struct __sk_buff *skb, u32 at)
{
	u16 ports[2];

	if (is_icmp(flow->proto) || !header_size(flow->proto) ||
	    bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
		return;
	flow->dport = bpf_ntohs(ports[0]);
	flow->sport = bpf_ntohs(ports[1]);
}

/* Adds a packet to its flow; see add_to(). */
static inline void add_received(struct event *event)
{
	struct aggregate *sum = sum_of(event);

	if (sum)
		add_to(sum, event);
	else
		COUNT(lost);
	COUNT(received);
}

int ingress(struct __sk_buff *skb)
{
	struct event event = {};
	struct flow *flow = &event.flow;
	u32 at = set_received_ends(flow, skb), parts = active_filter_parts();
	u32 type = type_of_receiver(skb);

	if (!at || (flow->proto == IPPROTO_TCP && type != SOCK_RAW))
		return DELIVER;
	set_received_ports(flow, skb, at);
	if (!addresses_pass(parts, flow))
		return DELIVER;
	u32 headers = at + header_size(flow->proto);
	event.received = skb->len > headers ? skb->len - headers : 0;
	event.time = bpf_ktime_get_boot_ns();
	event.segments = 1;
	flow->kind = EVENT_RECEIVE;
	flow->via = type == SOCK_RAW ? VIA_RAW : VIA_SOCKET;
	flow->cookie = bpf_get_socket_cookie(skb);
	flow->oif = has_zone(flow->daddr) * skb->ifindex;
	add_received(&event);
	return DELIVER;
}
