/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what the kernel chooses a route by besides the addresses, and the interface that it chose.
 */

#define SKB_DST_PTRMASK ~1UL	/* include/linux/skbuff.h */
#define LOOPBACK_IFINDEX 1	/* include/net/flow.h */

/* Returns 1 unless the value is 0. Like all in this file, without a branch: each of them would
 * double the verifier's work on what follows. The barrier hides from LLVM what it is. */
static inline u32 is_set(u32 value)
{
	u32 negative = -value;

	asm volatile("" : "+r"(negative));
	return (value | negative) >> 31;
}

/* 1 for an address that means something on one link only, else 0. It has a zone: the interface
 * (__ipv6_addr_needs_scope_id(), net/ipv6.h). */
static inline u32 has_zone(const u8 *addr)
{
	u32 not_fe80 = (addr[0] ^ 0xfe) | ((addr[1] & 0xc0) ^ 0x80);
	u32 not_multicast = (addr[0] ^ 0xff) | (((addr[1] & 0x0f) - 1) & 0x0e);	/* of scope 1, 2 */

	return 1 - is_set(not_fe80) * is_set(not_multicast);
}

/* Sets what an inet_sock is bound to. The interface that came with a destination is kept. UNICAST
 * is the one that a socket names for what it sends to other hosts. */
static inline void set_bound(struct flow *flow, struct sock *sk, u32 unicast)
{
	u32 device = READ_ARGUMENT(sk, skc_bound_dev_if);

	device += unicast * (1 - is_set(device));
	flow->oif += device * (1 - is_set(flow->oif));
	flow->sock_uid = READ_ARGUMENT(sk, sk_uid);
	flow->bound = is_set(device) * BOUND_DEVICE +
		      is_set(READ_ARGUMENT(sk, skc_rcv_saddr)) * BOUND_ADDRESS;
}

/* IP_UNICAST_IF, which TCP does not look at */
static inline u32 unicast_interface(struct sock *sk)
{
	return READ((struct inet_sock *)sk, uc_index);
}

/* For what has no packet. */
static inline void set_route_of_sock(struct flow *flow, struct sock *sk, u32 unicast)
{
	set_bound(flow, sk, unicast);
	flow->mark = READ_ARGUMENT(sk, sk_mark);
}

/* Returns the zone of a packet to this machine itself, which leaves by the loopback device: what
 * its socket is bound to, else the interface that has the address (ip6_rt_init_dst(); the loopback
 * device keeps a packet's route). */
static inline u32 zone_of_local_packet(const struct flow *flow, struct sk_buff *skb)
{
	struct rt6_info *route = (struct rt6_info *)(skb->_skb_refdst & SKB_DST_PTRMASK);

	if (flow->oif)
		return flow->oif;
	return has_zone(flow->daddr) * READ(READ(READ(route, rt6i_idev), dev), ifindex);
}

/* Sets what the socket of a packet is bound to: an inet_sock, if it is one. */
static inline void set_sock_of_packet(struct flow *flow, struct sk_buff *skb)
{
	struct sock *sk = READ_ARGUMENT(skb, sk);
	u32 is_inet = 1 - is_set((flow->via - VIA_SOCKET) & ~(VIA_RAW - VIA_SOCKET));	/* one of both */

	if (!sk)
		return;
	CHECKED(sk);
	set_bound(flow, sk, unicast_interface(sk));
	flow->oif *= is_inet;
	flow->sock_uid *= is_inet;
	flow->bound *= is_inet;
}

/* Sets the interface that a packet leaves by. */
static inline void set_device_of_packet(struct flow *flow, struct sk_buff *skb)
{
	u32 device = READ(skb->dev, ifindex);

	flow->mark = skb->mark;
	if (device == LOOPBACK_IFINDEX && (has_zone(flow->saddr) | has_zone(flow->daddr)))
		device = zone_of_local_packet(flow, skb);
	flow->oif = device;
}

static inline void set_route_of_packet(struct flow *flow, struct sk_buff *skb)
{
	set_sock_of_packet(flow, skb);
	set_device_of_packet(flow, skb);
}
