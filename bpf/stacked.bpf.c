/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that one device hands to another: each is counted at the first one.
 */

#define IFF_LOOPBACK 8		/* include/uapi/linux/if.h */

/* A packet that was handed to a device: a stacked one (VLAN, bond, macvlan, bridge) hands it on, at
 * once or from its queue, in whatever context. */
struct handed {
	u64 dev;		/* that had it last */
	u64 above;		/* the one before; 0: there was none */
	u64 first;		/* that it was counted at */
	u8 saddr[16];
	u8 daddr[16];
	u16 sport, dport;
	int ifindex;		/* of dev */
	int copied_from;	/* index of the device whose rule made this copy; 0: no copy */
	u32 proto;
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
	       one->proto == other->proto && same_addr(one->daddr, other->daddr) &&
	       same_addr(one->saddr, other->saddr);
}

/*
 * Returns the device that this packet comes from, where it was counted; 0 if there is none. That is
 * one above this one, or any that it has left before it was received (__netif_receive_skb_core()) or
 * redirected (tcf_mirred_to_dev(), ifb_ri_tasklet()), as skb_iif says. A copy that a rule of this
 * device made is sent before the original.
 */
static inline u64 came_from(struct sk_buff *skb, const struct handed *known,
			    const struct handed *now)
{
	struct net_device *dev = skb->dev;

	if (known->dev == now->dev || known->above == now->dev || known->first == now->dev ||
	    !is_same_datagram(known, now))
		return 0;	/* a new one: none comes back to a device */
	if (skb->skb_iif || known->copied_from == now->ifindex ||
	    is_below(dev, (struct net_device *)known->dev))
		return known->dev;
	if (known->above && is_below(dev, (struct net_device *)known->above))
		return known->above;	/* another copy, as a bridge makes them */
	return 0;
}

/* Returns what is known of a packet at this device. */
static inline struct handed handed_now(struct sk_buff *skb, const struct flow *flow)
{
	struct net_device *dev = skb->dev;
	u64 key = (u64)skb->head;
	struct handed *known = handed_to.lookup(&key), now = {
		.dev = (u64)dev,
		.first = (u64)dev,
		.sport = flow->sport,
		.dport = flow->dport,
		.proto = flow->proto,
		.ifindex = READ(dev, ifindex),
		.copied_from = flow->via == VIA_DEVICE ? skb->skb_iif : 0,
	};

	__builtin_memcpy(now.saddr, flow->saddr, 16);
	__builtin_memcpy(now.daddr, flow->daddr, 16);
	if (known)
		now.above = came_from(skb, known, &now);
	if (now.above)
		now.first = known->first;
	return now;
}

/* Was it handed to another device before this one, and counted there? */
static inline bool counted_above(struct sk_buff *skb, const struct flow *flow)
{
	return handed_now(skb, flow).above;
}

/* The same, and remembers that it was handed to this one. */
static inline bool counted_before(struct sk_buff *skb, const struct flow *flow)
{
	struct net_device *dev = skb->dev;
	u64 key = (u64)skb->head;

	if (READ(dev, flags) & IFF_LOOPBACK)
		return false;	/* it hands nothing on */
	struct handed now = handed_now(skb, flow);
	handed_to.update(&key, &now);
	return now.above;
}
