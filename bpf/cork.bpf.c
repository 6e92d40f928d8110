/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook udp_sendmsg() itself: they report as packets only the datagrams of
 * corked sockets.
 */

/*
 * Sockets whose datagram is put together by several calls (MSG_MORE, UDP_CORK,
 * splice). They are CORKED from the first call that leaves data pending, and
 * REPORTED once the packet has been seen at the device.
 */
#define CORKED 1
#define REPORTED 2
BPF_TABLE("lru_hash", u64, u32, corked, 4096);

/* A thread in a call that sends with this socket: others may send with it at the same time. */
struct sending {
	u64 thread;
	u64 sock;
};

/* What only a datagram's packet shows. */
struct sent_packet {
	u64 saddr[2];		/* the route may have chosen it */
	u64 hop[2];
	u64 nat_saddr[2];
	u32 oif;
	u32 mark;
	u16 nat_sport, nat_dport;
	u32 nat;
};
BPF_TABLE("lru_hash", struct sending, struct sent_packet, sent_packets, 4096);

static inline struct sending this_sending(struct sock *sk)
{
	struct sending key = { bpf_get_current_pid_tgid(), (u64)sk };

	return key;
}

static inline void keep_packet(struct sk_buff *skb, struct sock *sk, struct flow *flow)
{
	struct sending key = this_sending(sk);
	struct sent_packet packet;

	set_route_of_packet(flow, skb, sk);
	__builtin_memcpy(packet.saddr, flow->saddr, sizeof(packet.saddr));
	__builtin_memcpy(packet.hop, flow->hop, sizeof(packet.hop));
	__builtin_memcpy(packet.nat_saddr, flow->nat_saddr, sizeof(packet.nat_saddr));
	packet.oif = flow->oif;
	packet.mark = flow->mark;
	packet.nat_sport = flow->nat_sport;
	packet.nat_dport = flow->nat_dport;
	packet.nat = flow->nat;
	sent_packets.update(&key, &packet);
}

/* For the hook on the end of the system call, which comes after the packet was made. If the call
 * did not send (SENT is 0), what was kept is of another one. Multiplied by SENT, instead of asking,
 * for the verifier's sake. */
static inline void set_packet_of_call(struct flow *flow, struct sock *sk, u32 sent)
{
	struct sending key = this_sending(sk);
	struct sent_packet *packet = sent_packets.lookup(&key);

	if (!packet)
		return;
	if (no_addr(flow->saddr)) {
		((u64 *)flow->saddr)[0] = packet->saddr[0] * sent;
		((u64 *)flow->saddr)[1] = packet->saddr[1] * sent;
	}
	((u64 *)flow->hop)[0] = packet->hop[0] * sent;
	((u64 *)flow->hop)[1] = packet->hop[1] * sent;
	((u64 *)flow->nat_saddr)[0] = packet->nat_saddr[0] * sent;
	((u64 *)flow->nat_saddr)[1] = packet->nat_saddr[1] * sent;
	flow->nat_sport = packet->nat_sport * sent;
	flow->nat_dport = packet->nat_dport * sent;
	flow->nat = packet->nat * sent;
	flow->oif += (packet->oif - flow->oif) * sent;
	flow->mark += (packet->mark - flow->mark) * sent;
	sent_packets.delete(&key);
}

/* Is a packet of the current thread's call left that no hook on the call's end has taken? */
static inline bool packet_is_kept(struct sock *sk)
{
	struct sending key = this_sending(sk);

	return sent_packets.lookup(&key);
}

/* Does udp_sendmsg() send by this socket? */
static inline bool is_udp_socket(struct sock *sk, u8 via)
{
	return via == VIA_SOCKET && is_udp(READ(sk, sk_protocol));
}

static inline bool probe_sees_calls(void)
{
	return true;
}

static inline bool is_corked(struct sock *sk)
{
	u64 key = (u64)sk;

	return corked.lookup(&key);
}

static inline bool corked_and_reported(struct sock *sk, u8 via)
{
	u64 key = (u64)sk;
	u32 reported = REPORTED;
	u32 *state = via == VIA_SOCKET ? corked.lookup(&key) : 0;

	if (!state)
		return false;
	if (*state == CORKED) {
		corked.update(&key, &reported);
		return false;
	}
	corked.delete(&key);	/* setsockopt() had sent that one; this is a later datagram */
	return true;
}
