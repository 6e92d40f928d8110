/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook on net_dev_queue, where a packet is handed to a device, whoever sent it. What passes it by
 * is in bypass.bpf.c.
 */

/* May a process have made this fragment itself? */
static inline bool is_fragment_of_process(struct sk_buff *skb)
{
	struct sock *sk = READ(skb, sk);

	if (!sk)
		return skb->skb_iif;
	return READ(sk, skc_family) == AF_PACKET || READ(sk, sk_type) == SOCK_RAW;
}

/* Adds a later fragment to its datagram, unless it was added above or while it waited. */
static inline void continue_datagram(void *ctx, struct sk_buff *skb, struct event *event,
				     const struct part *part)
{
	bool made = is_fragment_of_process(skb);

	FORGET(made);
	if (!made && has_length(event->flow.proto))
		return;
	if (counted_before(skb, &event->flow))
		return;
	if (!is_own(ctx, skb) && reported_waiting(skb, READ(skb, sk)))
		return;
	if (!add_fragment(skb, event->bytes, part) && made)
		count_lone_fragment(event, skb);
}

/* Returns how a packet of this protocol was sent, whose socket may be 0. */
static inline u8 via_of_packet(struct sk_buff *skb, struct sock *sk, u8 protocol)
{
	if (sk)
		return is_of_tap(sk) ? VIA_DEVICE : via_of(skb, protocol);
	return skb->skb_iif ? VIA_DEVICE : VIA_KERNEL;
}

int net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct event event = {};
	struct sock *sk = 0;
	struct packet packet = packet_of(skb);

	if (is_forwarded(ctx, skb))
		return 0;	/* see forward.bpf.c */
	if (!type_is_in_frame(&packet)) {
		sk = READ(skb, sk);
		if (sk && READ(sk, skc_family) == AF_PACKET)
			packet = packet_in_frame(skb);
	}
	packet.of_tcp_socket = is_of_tcp_socket(skb);
	struct part part = {};
	enum parsed parsed = parse_packet(&event, &packet, &part);
	if (parsed == NOTHING) {
		if (is_unknown_by_name(&event.flow, skb))
			connection_starts_late(&event, skb, cookie_of_packet(skb));
		return 0;
	}
	if (parsed == CONTINUED) {
		continue_datagram(ctx, skb, &event, &part);
		return 0;
	}
	undo_nat(&event.flow, skb);
	u32 parts = active_filter_parts();
	bool passes = parsed == PARSED && addresses_pass(parts, &event.flow);
	FORGET(passes);
	bool seen_here = !(probe_sees_calls() && is_udp(event.flow.proto));
	if (seen_here && parsed == PARSED) {
		COUNT(datagrams);
		if (!passes && !is_any_rewritten())
			return 0;
	}
	sk = READ(skb, sk);	/* read only now: most packets return above */
	event.flow.via = via_of_packet(skb, sk, event.flow.proto);
	if (parsed == PARSED && probe_reports(ctx, skb, sk, event.flow.via)) {
		cookie_of_packet(skb);	/* makes it: a hook on a kprobe can only read it */
		/* remembered: another task may hand it on from a queue */
		if ((passes || is_any_rewritten()) && !counted_before(skb, &event.flow))
			keep_packet(skb, sk, &event.flow);
		return 0;
	}
	/* made by a bridge or a rule; other hooks report the original */
	bool copied = !sk && other_hooks_report(event.flow.proto) && is_copy(skb);
	FORGET(copied);
	event.flow.via *= !copied;	/* nor is it this copy that is counted */
	/* the state of a corked socket must follow its packets, whatever the filter says */
	bool counted = counted_before(skb, &event.flow);
	if (copied)
		return 0;
	bool own = is_own(ctx, skb);
	FORGET(own);
	if (parsed == UNREAD) {
		if (!counted)
			count_unread(&event, skb, own, parts);
		return 0;
	}
	if (!seen_here)
		COUNT(datagrams);
	if (!counted && passes && is_kernel_reply(skb, &event.flow)) {
		count_kernel_reply(&event.flow, skb, parts);
		return 0;
	}
	if (!counted)
		remember_corked(sk, event.flow.via);
	if (counted || !passes_as_named(&event.flow, sk, parts, passes))
		return 0;
	if (!own && reported_waiting(skb, sk))
		return 0;
	set_sock_of_packet(&event.flow, skb);
	report(&event, skb, &part, sk, cookie_of_packet(skb), own, parts);
	if (!own && event.flow.pid)
		remember_early_answer();
	return 0;
}
