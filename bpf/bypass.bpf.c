/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook functions: packets that reach a device without its queue, past
 * net_dev_queue. __dev_direct_xmit() is the way of packet sockets with PACKET_QDISC_BYPASS
 * (packet_xmit()) and of AF_XDP in copy mode (xsk_generic_xmit()); netpoll_send_skb(), of netconsole.
 */

static inline void packet_bypasses_queue(void *ctx, struct sk_buff *skb, u64 cookie)
{
	struct sock *sk = READ(skb, sk);
	struct packet packet = sk ? packet_in_frame(skb) : packet_of(skb);
	struct event event = {};
	struct part part = {};
	enum parsed parsed = parse_packet(&event, &packet, &part);
	u32 parts = active_filter_parts();

	if (parsed == NOTHING)
		return;
	event.flow.via = sk ? VIA_PACKET : VIA_KERNEL;
	if (counted_before(skb, &event.flow))
		return;		/* a device above has handed it on */
	if (parsed == CONTINUED) {
		if (!add_fragment(skb, event.bytes, &part))
			count_lone_fragment(&event, skb);
		return;
	}
	bool own = is_at_once(ctx);
	FORGET(own);
	if (parsed == UNREAD) {
		count_unread(&event, skb, own, parts);
		return;
	}
	COUNT(datagrams);
	if (addresses_pass(parts, &event.flow))
		report(&event, skb, &part, sk, cookie, own, parts);
}
