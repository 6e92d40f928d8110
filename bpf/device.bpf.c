/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook on net_dev_queue, where a packet is handed to a device, whoever sent it. Only packet
 * sockets with PACKET_QDISC_BYPASS and AF_XDP pass it by.
 */

#define IFF_LOOPBACK 8		/* include/uapi/linux/if.h */

/* A packet that was handed to a device: a stacked one (VLAN, bond, macvlan, bridge) hands it on, at
 * once or from its queue, in whatever context. */
struct handed {
	u64 dev;		/* that had it last */
	u64 above;		/* the one before; 0: there was none */
	u8 daddr[16];
	u16 sport, dport;
	int ifindex;		/* of dev */
	int copied_from;	/* index of the device whose rule made this copy; 0: no copy */
	u32 pad;
};
/* By sk_buff.head, which clones share. An entry outlives its packet, and a later one may be in the
 * same memory. */
BPF_TABLE("lru_hash", u64, struct handed, handed_to, 16384);

/* Returns the first device of a list of adjacent ones; 0 if it is empty. */
static inline struct net_device *first_adjacent(void *list)
{
	struct netdev_adjacent *first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), list);
	if ((void *)first == list)
		return 0;
	first = (void *)first - __builtin_offsetof(struct netdev_adjacent, list);
	return READ(first, dev);
}

/* Is LOWER below UPPER? A master (bond, bridge) is the first of a device's upper ones
 * (__netdev_adjacent_dev_insert()); a VLAN or macvlan has one lower device. */
static inline bool is_below(struct net_device *lower, struct net_device *upper)
{
	return first_adjacent(&lower->adj_upper) == upper ||
	       first_adjacent(&upper->adj_lower) == lower;
}

static inline bool is_same_datagram(const struct handed *one, const struct handed *other)
{
	return one->sport == other->sport && one->dport == other->dport &&
	       same_addr(one->daddr, other->daddr);
}

/*
 * Returns the device that this packet comes from, where it was counted; 0 if there is none. That is
 * one above this one, or one that redirected it, as skb_iif says (tcf_mirred_to_dev(),
 * ifb_ri_tasklet()). A copy that a rule of this device made is sent before the original.
 */
static inline u64 came_from(struct sk_buff *skb, const struct handed *known,
			    const struct handed *now)
{
	struct net_device *dev = skb->dev;

	if (known->dev == now->dev || known->above == now->dev || !is_same_datagram(known, now))
		return 0;	/* a new one: none comes back to a device */
	if (skb->skb_iif == known->ifindex || known->copied_from == now->ifindex ||
	    is_below(dev, (struct net_device *)known->dev))
		return known->dev;
	if (known->above && is_below(dev, (struct net_device *)known->above))
		return known->above;	/* another copy, as a bridge makes them */
	return 0;
}

/* Remembers that a packet was handed to a device; returns whether it was to another one before, and
 * counted there. */
static inline bool handed_on(struct sk_buff *skb, const struct flow *flow)
{
	struct net_device *dev = skb->dev;
	u64 key = (u64)skb->head;
	struct handed *known = handed_to.lookup(&key), now = {
		.dev = (u64)dev,
		.sport = flow->sport,
		.dport = flow->dport,
		.ifindex = READ(dev, ifindex),
		.copied_from = flow->via == VIA_DEVICE ? skb->skb_iif : 0,
	};

	__builtin_memcpy(now.daddr, flow->daddr, 16);
	if (known)
		now.above = came_from(skb, known, &now);
	handed_to.update(&key, &now);
	return now.above;
}

static inline bool counted_before(struct sk_buff *skb, const struct flow *flow)
{
	struct net_device *dev = skb->dev;

	if (READ(dev, flags) & IFF_LOOPBACK)
		return false;	/* it hands nothing on */
	return handed_on(skb, flow);
}

/* Counts a packet of which no header can be read, unless its process or namespace is left out. */
static inline void count_unread(struct event *event, struct sk_buff *skb, bool own, u32 parts)
{
	if (parts & FILTER_NO_UDP)
		return;		/* TCP has hooks of its own */
	event->flow.netns = netns_of_packet(skb);
	if (own)
		fill_process(&event->flow);
	else
		parts &= FILTER_NETNS;	/* only that is known */
	if (process_passes(parts, &event->flow))
		COUNT(unread);
}

int net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct event event = {};
	struct sock *sk = 0;
	struct packet packet = packet_of(skb);

	if (!type_is_in_frame(&packet)) {
		sk = READ(skb, sk);
		if (sk && READ(sk, skc_family) == AF_PACKET)
			packet = packet_in_frame(skb);
	}
	enum parsed parsed = parse_packet(&event, &packet);
	if (parsed == NOT_UDP)
		return 0;
	u32 parts = active_filter_parts();
	bool passes = parsed == PARSED && addresses_pass(parts, &event.flow);
	if (!probe_sees_calls() && parsed == PARSED) {
		COUNT(datagrams);
		if (!passes)
			return 0;
	}
	sk = READ(skb, sk);	/* read only now: most packets return above */
	event.flow.via = sk ? via_of(skb, sk) : skb->skb_iif ? VIA_DEVICE : VIA_KERNEL;
	if (parsed == PARSED && probe_reports(ctx, sk, event.flow.via)) {
		if (passes)
			keep_packet(skb, sk, &event.flow);
		return 0;
	}
	if (probe_sees_calls() && !sk && is_copy(skb))
		return 0;	/* made by a bridge or a rule; the hooks on calls report the original */
	bool own = is_own(ctx);
	FORGET(own);
	if (event.flow.via == VIA_DEVICE && !own)
		return 0;	/* forwarded: this machine did not send it */
	/* the state of a corked socket must follow its packets, whatever the filter says */
	bool counted = counted_before(skb, &event.flow);
	if (parsed == UNREAD) {
		if (!counted)
			count_unread(&event, skb, own, parts);
		return 0;
	}
	if (probe_sees_calls())
		COUNT(datagrams);
	if (counted || corked_and_reported(sk, event.flow.via) || !passes)
		return 0;
	if (!own && reported_waiting(skb, sk))
		return 0;
	report(&event, skb, sk, cookie_of_packet(skb), own, parts);
	if (!own && event.flow.pid)
		remember_early_answer();
	return 0;
}
