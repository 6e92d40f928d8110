/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook udp_sendmsg() itself: they report as packets only the datagrams of
 * corked sockets, which several calls put together (MSG_MORE, UDP_CORK, splice).
 */

/* A thread in a call that sends with this socket: others may send with it at the same time. */
struct sending {
	u64 thread;
	u64 sock;
};

/* What has become of what is kept of a packet. */
enum kept {
	KEPT = 1,		/* the hook on the call's end will take it */
	REPORTED,		/* it was of a corked socket, and needs no other report */
	TAKEN,			/* only its place is left: the thread's next call will want one */
};

/* What only a datagram's packet shows. */
struct sent_packet {
	u64 saddr[2];		/* the route may have chosen it */
	u64 hop[2];
	u64 nat_saddr[2];
	u32 oif;
	u32 mark;
	u16 nat_sport, nat_dport;
	u16 nat;
	u16 state;		/* enum kept */
};
BPF_TABLE("lru_hash", struct sending, struct sent_packet, sent_packets, 4096);

static inline struct sending this_sending(struct sock *sk)
{
	struct sending key = { bpf_get_current_pid_tgid(), (u64)sk };

	return key;
}

/* Returns what is kept of a packet of the current thread's call; 0: nothing. */
static inline struct sent_packet *kept_packet(struct sock *sk)
{
	struct sending key = this_sending(sk);
	struct sent_packet *packet = sent_packets.lookup(&key);

	return packet && packet->state != TAKEN ? packet : 0;
}

static inline void fill_packet(struct sent_packet *packet, const struct flow *flow)
{
	__builtin_memcpy(packet->saddr, flow->saddr, sizeof(packet->saddr));
	__builtin_memcpy(packet->hop, flow->hop, sizeof(packet->hop));
	__builtin_memcpy(packet->nat_saddr, flow->nat_saddr, sizeof(packet->nat_saddr));
	packet->oif = flow->oif;
	packet->mark = flow->mark;
	packet->nat_sport = flow->nat_sport;
	packet->nat_dport = flow->nat_dport;
	packet->nat = flow->nat;
	packet->state = KEPT;
}

static inline void keep_packet(struct sk_buff *skb, struct sock *sk, struct flow *flow)
{
	struct sending key = this_sending(sk);
	struct sent_packet *place = sent_packets.lookup(&key), packet;

	set_route_of_packet(flow, skb);
	if (place) {
		fill_packet(place, flow);
	} else {
		fill_packet(&packet, flow);
		sent_packets.update(&key, &packet);
	}
}

/* For the hook on the end of the system call, which comes after the packet was made. If the call
 * did not send (SENT is 0), what was kept is of another one. Multiplied by SENT, instead of asking,
 * for the verifier's sake. */
static inline void set_packet_of_call(struct flow *flow, struct sent_packet *packet, u32 sent)
{
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
	packet->state = TAKEN;
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

/* Is the data of several calls under way to one datagram? It is so until the packet is sent
 * (udp_push_pending_frames()). */
static inline bool is_corked(struct sock *sk)
{
	return READ((struct udp_sock *)sk, pending);
}

/* Remembers that a packet of a corked socket is reported, or need not be, for the call that may
 * have ended the datagram; setsockopt() may have. */
static inline void remember_corked(struct sock *sk, u8 via)
{
	struct sending key = this_sending(sk);
	struct sent_packet packet = { .state = REPORTED };

	if (is_udp_socket(sk, via) && is_corked(sk))
		sent_packets.update(&key, &packet);
}

/* Did this call leave its data with the socket, or end a corked datagram that was reported? PACKET is
 * what is kept of its packet. */
static inline bool part_of_corked(struct sock *sk, struct sent_packet *packet, int result)
{
	if (is_corked(sk))
		return result >= 0;
	if (!packet || packet->state != REPORTED)
		return false;
	packet->state = TAKEN;
	return result >= 0;
}
