/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells what NAT made of a packet. Its entry in the kernel's connection tracking has a tuple for each
 * direction: the addresses and ports of a packet of that direction before NAT has changed them
 * (nf_conntrack_in() comes first). What the packet itself has is the other tuple's, inverted
 * (nf_nat_packet()). They are compared, whatever nf_conn.status says: IPVS sets no bit there
 * (ip_vs_update_conntrack()).
 */

#define NFCT_PTRMASK ~7UL	/* include/linux/skbuff.h */
#define IP_CT_NEW 2		/* include/uapi/linux/netfilter/nf_conntrack_common.h */
#define IP_CT_IS_REPLY 3

/* Sets what NAT has made of one end of a flow: ADDR and PORT are as its packet has them, and become
 * what the sender has named. Returns 1 if they differ, else 0. Like all in this file, without a branch:
 * see route.bpf.c. */
static inline u32 undo_end(u64 *addr, u16 *port, u64 *nat_addr, u16 *nat_port,
			   const u64 *named_addr, u16 named_port)
{
	u64 bits = (addr[0] ^ named_addr[0]) | (addr[1] ^ named_addr[1]) | (*port ^ named_port);
	u32 differs = is_set(bits >> 32 | bits);

	nat_addr[0] = addr[0] * differs;
	nat_addr[1] = addr[1] * differs;
	*nat_port = *port * differs;
	addr[0] = named_addr[0];
	addr[1] = named_addr[1];
	*port = named_port;
	return differs;
}

#if defined(HAVE_NF_CONN) && defined(HAVE_SK_BUFF__NFCT)

static inline void set_tuple_addr(u64 *addr, const u32 *tuple, u32 ipv4)
{
	u32 *words = (u32 *)addr;

	words[0] = tuple[0] * (1 - ipv4);
	words[1] = tuple[1] * (1 - ipv4);
	words[2] = tuple[2] * (1 - ipv4) + bpf_htonl(0xffff) * ipv4;
	words[3] = tuple[3] * (1 - ipv4) + tuple[0] * ipv4;
}

/* Returns the packet's entry in the connection tracking; 0: it has none. */
static inline struct nf_conn *conntrack_of(struct sk_buff *skb)
{
	return (struct nf_conn *)(skb->_nfct & NFCT_PTRMASK);
}

/* Has a packet an entry there, and may NAT have changed it? */
static inline bool is_tracked(struct sk_buff *skb)
{
	return conntrack_of(skb);
}

/* Replaces the ends of a packet's flow, which are those of its headers, by what its sender has named,
 * and sets what NAT has made of that. */
static inline void undo_nat(struct flow *flow, struct sk_buff *skb)
{
	struct nf_conn *ct = conntrack_of(skb);
	u32 reply = (skb->_nfct & ~NFCT_PTRMASK) >= IP_CT_IS_REPLY;
	struct nf_conntrack_tuple tuple;
	u64 named[2];

	if (!ct || !no_addr(flow->hop))
		return;
	bpf_probe_read_kernel(&tuple, sizeof(tuple), &ct->tuplehash[reply].tuple);
	if (tuple.protonum != flow->proto)
		return;		/* an ICMP error has the entry of what it is about */
	u32 ipv4 = 1 - is_set(tuple.l3num ^ AF_INET);
	/* none, if the protocol has none (ICMP's type and id stand there), or they are not tracked */
	u32 ports = is_set(flow->sport | flow->dport) * is_set(tuple.src_port | tuple.dst_port);
	u16 sport = flow->sport + (bpf_ntohs(tuple.src_port) - flow->sport) * ports;
	u16 dport = flow->dport + (bpf_ntohs(tuple.dst_port) - flow->dport) * ports;
	set_tuple_addr(named, tuple.src_addr, ipv4);
	u32 src = undo_end((u64 *)flow->saddr, &flow->sport, (u64 *)flow->nat_saddr,
			   &flow->nat_sport, named, sport);
	set_tuple_addr(named, tuple.dst_addr, ipv4);
	u32 dst = undo_end((u64 *)flow->daddr, &flow->dport, (u64 *)flow->hop, &flow->nat_dport,
			   named, dport);
	flow->nat = src * NAT_SRC + dst * NAT_DST;
	FORGET(flow->nat);
}

/* Is this a packet of a connection from which no answer has come yet? */
static inline bool begins_tracked(struct sk_buff *skb)
{
	return (skb->_nfct & ~NFCT_PTRMASK) == IP_CT_NEW;
}

/* Sets the ends that a connection's first packet has after NAT: those of the answer, inverted. */
static inline void set_ends_after_nat(struct flow *flow, struct sk_buff *skb)
{
	struct nf_conn *ct = conntrack_of(skb);
	struct nf_conntrack_tuple tuple;

	bpf_probe_read_kernel(&tuple, sizeof(tuple), &ct->tuplehash[1].tuple);
	u32 ipv4 = 1 - is_set(tuple.l3num ^ AF_INET);
	set_tuple_addr((u64 *)flow->saddr, tuple.dst_addr, ipv4);
	set_tuple_addr((u64 *)flow->daddr, tuple.src_addr, ipv4);
	flow->sport = bpf_ntohs(tuple.dst_port);
	flow->dport = bpf_ntohs(tuple.src_port);
}

#else

static inline bool is_tracked(struct sk_buff *skb)
{
	return false;
}

static inline void undo_nat(struct flow *flow, struct sk_buff *skb)
{
}

static inline bool begins_tracked(struct sk_buff *skb)
{
	return false;
}

static inline void set_ends_after_nat(struct flow *flow, struct sk_buff *skb)
{
}

#endif
