/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what a struct sk_buff says of itself.
 */

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETHERNET_TYPE 12	/* where a frame has its type */
#define VLAN_TAGS 4		/* at most so many are stepped over */
#define ARPHRD_ETHER 1		/* include/uapi/linux/if_arp.h */
#define ARPHRD_LOOPBACK 772	/* it has Ethernet headers, too */

/* Returns what begins AT this place of a packet. Its linear part ends at skb_tail_pointer(). */
static inline struct packet packet_from(struct sk_buff *skb, u8 *at, u16 protocol)
{
	u32 before = at - skb->data, length = skb->len;
	u32 linear = length - skb->data_len;

	return (struct packet){
		.at = at,
		.linear = before < linear ? linear - before : 0,
		.length = before < length ? length - before : 0,
		.protocol = protocol,
	};
}

/* Returns the packet as the network layer has marked it. */
static inline struct packet packet_of(struct sk_buff *skb)
{
	return packet_from(skb, skb->head + skb->network_header, skb->protocol);
}

/* Returns the packet on a device without Ethernet headers, by its IP version. */
static inline struct packet packet_by_version(struct sk_buff *skb)
{
	struct packet packet = packet_from(skb, skb->head + skb->network_header,
					   bpf_htons(ETH_P_IP));
	u8 first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), packet.at);
	if (packet.linear && first >> 4 != 4)
		packet.protocol = first >> 4 == 6 ? bpf_htons(ETH_P_IPV6) : 0;
	return packet;
}

static inline bool is_vlan(u16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/*
 * Returns the packet that is in a frame, whatever its sender, a packet socket, calls it. Where the
 * frame's type cannot be read, the packet counts as one of IPv4, of which nothing is linear.
 */
static inline struct packet packet_in_frame(struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;
	u16 kind = READ(dev, type), type = bpf_htons(ETH_P_8021Q);
	u8 *at = skb->data + ETHERNET_TYPE;

	if (kind != ARPHRD_ETHER && kind != ARPHRD_LOOPBACK)
		return packet_by_version(skb);
#pragma clang loop unroll(disable)
	for (u32 i = 0; i <= VLAN_TAGS && is_vlan(type); i++) {
		struct packet rest = packet_from(skb, at, bpf_htons(ETH_P_IP));

		if (rest.linear < sizeof(type))
			return rest;
		bpf_probe_read_kernel(&type, sizeof(type), at);
		at += is_vlan(type) ? 4 : 2;
	}
	struct packet packet = packet_from(skb, at, type);

	if (is_vlan(type)) {	/* more tags than are stepped over */
		packet.protocol = bpf_htons(ETH_P_IP);
		packet.linear = 0;
	}
	return packet;
}

/* Has the packet the Ethernet type that its sender has named, and no VLAN tag? On a device without
 * Ethernet headers, no means nothing. */
static inline bool type_is_in_frame(const struct packet *packet)
{
	u16 type = 0;

	bpf_probe_read_kernel(&type, sizeof(type), packet->at - sizeof(type));
	return type == packet->protocol && !is_vlan(type);
}

/* Returns the cookie of a packet's socket, read so that the verifier knows the socket's type. */
static inline u64 cookie_of_packet(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (!sk || sk->skc_family == AF_UNSPEC)
		return 0;
	struct socket *socket = sk->sk_socket;
	return socket ? cookie_of(socket->sk) : known_cookie(sk);
}

/* Does it share its data with another packet? */
static inline bool is_copy(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (struct skb_shared_info *)((u8 *)skb->head + skb->end);

	return (READ(shared, dataref) & 0xffff) > 1;	/* SKB_DATAREF_MASK */
}

static inline u32 segments_of(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (struct skb_shared_info *)((u8 *)skb->head + skb->end);
	u16 segments = READ(shared, gso_segs);

	return segments ? segments : 1;
}

static inline u32 netns_of_packet(struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;
	struct net *net = READ(dev, net);

	return READ(net, inum);
}
