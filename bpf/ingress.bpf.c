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

/* Of a received packet: who sent it, where to, and where what is below IP begins. */
struct arrived {
	u8 remote[16], local[16];
	u32 at;
	u8 proto;
};

/* Fills it in; false if it is no IP packet. */
static inline bool parse_arrived(struct arrived *packet, struct __sk_buff *skb)
{
	u8 header[IPV6_HEADER];

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, header, IPV4_HEADER))
			return false;
		packet->proto = header[9];
		packet->at = 4 * (header[0] & 15);
		set_ipv4(packet->remote, *(u32 *)(header + 12));
		set_ipv4(packet->local, *(u32 *)(header + 16));
		return true;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
	    bpf_skb_load_bytes(skb, 0, header, IPV6_HEADER))
		return false;
	packet->proto = header[6];
	packet->at = skip_received_extensions(skb, &packet->proto);
	__builtin_memcpy(packet->remote, header + 8, 16);
	__builtin_memcpy(packet->local, header + 24, 16);
	return true;
}

/* Is it for a raw socket? */
static inline bool is_for_raw(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return sk && sk->type == SOCK_RAW;
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

/* Counts it, with its sender as the destination, if it matches. */
static inline void count_arrived(struct __sk_buff *skb, const struct arrived *packet, u32 parts)
{
	struct event event = { .time = bpf_ktime_get_boot_ns(), .segments = 1 };
	struct flow *flow = &event.flow;
	u32 headers = packet->at + header_size(packet->proto);

	flow->kind = EVENT_RECEIVE;
	flow->proto = packet->proto;
	flow->via = is_for_raw(skb) ? VIA_RAW : VIA_SOCKET;
	__builtin_memcpy(flow->daddr, packet->remote, 16);
	__builtin_memcpy(flow->saddr, packet->local, 16);
	set_received_ports(flow, skb, packet->at);
	if (!addresses_pass(parts, flow))
		return;
	event.received = skb->len > headers ? skb->len - headers : 0;
	flow->cookie = bpf_get_socket_cookie(skb);
	flow->oif = has_zone(flow->daddr) * skb->ifindex;
	add_received(&event);
}

int ingress(struct __sk_buff *skb)
{
	struct arrived packet;
	u32 parts = active_filter_parts();

	if (!parse_arrived(&packet, skb) || (packet.proto == IPPROTO_TCP && !is_for_raw(skb)))
		return DELIVER;
	/* most packets come from elsewhere */
	if (parts & FILTER_DST && dst_verdict(packet.remote) != INCLUDED)
		return DELIVER;
	if (!is_ipv4(packet.remote) && is_extension(packet.proto))
		COUNT(unread);		/* it has more of them, or they are cut off */
	else
		count_arrived(skb, &packet, parts);
	return DELIVER;
}
