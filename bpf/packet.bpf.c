/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what a struct sk_buff says of itself.
 */

static inline bool parse(struct event *event, struct sk_buff *skb)
{
	return parse_packet(event, skb->protocol, (u8 *)skb->head + skb->network_header);
}

/* Returns the cookie of a packet's socket, read so that the verifier knows the socket's type. */
static inline u64 cookie_of_packet(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (!sk)
		return 0;
	struct socket *socket = sk->sk_socket;
	return socket ? cookie_of(socket->sk) : known_cookie(sk);
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
