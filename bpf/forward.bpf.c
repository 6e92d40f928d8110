/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that came from a device and are handed on, routed or bridged, in no process's context. They
 * may be many, so they are aggregated by flow.
 */

#define ETHERNET_SOURCE 6	/* where a frame has its source address */
#define ETHERNET_ADDRESS 6	/* bytes */

/* Is it the socket of a tun, tap or macvtap (tun_chr_open(), tap_open())? A packet that was written
 * there has it until the IP layer takes it (skb_orphan() in ip_rcv_core()); a bridge leaves it. */
static inline bool is_of_tap(struct sock *sk)
{
	return READ(sk, skc_family) == AF_UNSPEC;
}

/* Did it come from a device, and not from a socket? */
static inline bool is_received(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	return skb->skb_iif && (!sk || is_of_tap(sk));
}

/* Is it one that no process sends on? Decided before anything is read of it: a router has many. */
static inline bool is_forwarded(void *ctx, struct sk_buff *skb)
{
	return is_received(skb) && !is_own(ctx, skb);
}

/*
 * Is it a packet as most are, and not to an address that is included? Asked before all else is read,
 * for most packets of a router are. Of one with a source route, or with an entry in the connection
 * tracking, there are more addresses.
 */
static inline bool is_to_others(struct sk_buff *skb, const struct packet *packet)
{
	u8 header[IPV6_HEADER], daddr[16];
	bool ipv4 = packet->protocol == bpf_htons(ETH_P_IP);

	if (!(active_filter_parts() & FILTER_DST) || is_tracked(skb) || packet->linear < sizeof(header))
		return false;
	bpf_probe_read_kernel(header, sizeof(header), packet->at);
	if (ipv4 ? header[0] != 0x45 : header[0] >> 4 != 6 || is_extension(header[6]))
		return false;
	if (ipv4)
		set_ipv4(daddr, *(u32 *)(header + 16));
	else
		__builtin_memcpy(daddr, header + 24, sizeof(daddr));
	return dst_verdict(daddr) != INCLUDED;
}

static inline void set_ethernet_source(struct flow *flow, struct sk_buff *skb)
{
	if (READ(skb->dev, type) == ARPHRD_ETHER)
		bpf_probe_read_kernel(flow->thread, ETHERNET_ADDRESS, skb->data + ETHERNET_SOURCE);
}

static inline void report_forwarded(struct event *event, struct sk_buff *skb, u32 parts)
{
	struct flow *flow = &event->flow;

	flow->kind = EVENT_FORWARD;
	flow->via = VIA_DEVICE;
	flow->netns = netns_of_packet(skb);
	flow->iif = skb->skb_iif;
	flow->oif = READ(skb->dev, ifindex);
	set_ethernet_source(flow, skb);
	if (!process_passes(parts, flow))
		return;
	event->segments = segments_of(skb);
	emit(parts | FILTER_SUMMARY, event);
}

/*
 * Runs on net_dev_queue, too, but only where forwarded packets are watched. A packet is counted at the
 * first device that it is handed to; if a process of this machine has sent it, that was in another
 * network namespace.
 */
int net_dev_queue_forward(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct packet packet = packet_of(skb);
	struct event event = {};
	struct part part = {};

	if (!is_received(skb))
		return 0;
	if (!type_is_in_frame(&packet))
		packet = packet_in_frame(skb);
	if (is_to_others(skb, &packet)) {
		COUNT(datagrams);
		return 0;
	}
	FORGET(packet);
	enum parsed parsed = parse_packet(&event, &packet, &part);
	u32 parts = active_filter_parts();
	if (parsed == NOTHING || parsed == CONTINUED)
		return 0;
	COUNT(datagrams);
	undo_nat(&event.flow, skb);
	bool passes = parsed == UNREAD || addresses_pass(parts, &event.flow);
	FORGET(passes);
	if (!passes || is_own(ctx, skb))	/* which takes longest: most packets do not pass */
		return 0;
	if (counted_before(skb, &event.flow))
		return 0;
	if (parsed == UNREAD)
		count_unread(&event, skb, false, parts);
	else
		report_forwarded(&event, skb, parts);
	return 0;
}
