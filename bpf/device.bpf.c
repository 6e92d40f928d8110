/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook on net_dev_queue, where a packet is handed to a device, whoever sent it. Only packet
 * sockets with PACKET_QDISC_BYPASS and AF_XDP pass it by.
 */

#define SKB_DST_PTRMASK ~1UL	/* include/linux/skbuff.h */

/* The datagram last seen on a device that hands packets on to another one. */
struct handed_on {
	u64 head;		/* sk_buff.head: clones share it */
	u8 daddr[16];
	u16 sport, dport;
	u32 pad;
};
BPF_PERCPU_ARRAY(handed_on, struct handed_on, 1);

/*
 * A packet may pass several devices (a VLAN on a bond on a card), each with a
 * net_dev_queue of its own; it is counted on the one that its route names. Stacked
 * devices keep the packet's route (netif_keep_dst()); for a card, it is dropped
 * before the tracepoint (IFF_XMIT_DST_RELEASE, __dev_queue_xmit()). A packet without
 * a route has been counted if the device above just handed it on.
 */
static inline bool counted_above(struct sk_buff *skb, const struct flow *flow)
{
	struct dst_entry *route = (struct dst_entry *)(skb->_skb_refdst & SKB_DST_PTRMASK);
	u32 zero = 0;
	struct handed_on *above = handed_on.lookup(&zero);

	if (!above)
		return false;
	if (!route)
		return above->head == (u64)skb->head && above->sport == flow->sport &&
		       above->dport == flow->dport &&
		       same_addr(above->daddr, flow->daddr);
	if (READ(route, dev) != skb->dev)
		return true;
	above->head = (u64)skb->head;
	above->sport = flow->sport;
	above->dport = flow->dport;
	__builtin_memcpy(above->daddr, flow->daddr, 16);
	return false;
}

int net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct event event = {};

	if (!parse(&event, skb))
		return 0;
	u32 parts = active_filter_parts();
	bool passes = addresses_pass(parts, &event.flow);
	if (!probe_sees_calls()) {
		COUNT(datagrams);
		if (!passes)
			return 0;
	}
	struct sock *sk = READ(skb, sk);	/* read only now: most packets return above */

	if (!sk && skb->skb_iif)
		return 0;	/* forwarded: this machine did not send it */
	event.flow.via = sk ? via_of(skb, sk) : VIA_KERNEL;
	if (probe_reports(sk, event.flow.via)) {
		if (passes)
			keep_source(sk, &event.flow);
		return 0;
	}
	if (probe_sees_calls())
		COUNT(datagrams);
	/* the state of a corked socket must follow its packets, whatever the filter says */
	if (counted_above(skb, &event.flow) || corked_and_reported(sk, event.flow.via) || !passes)
		return 0;
	bool own = in_task(ctx);
	if (!own && reported_waiting(skb, sk))
		return 0;
	report(&event, skb, sk, cookie_of_packet(skb), own, parts);
	return 0;
}
