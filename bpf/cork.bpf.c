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

/* What only the packet has: the source address that the route chose, for a socket that is not bound
 * to one, and the next stop on a source route. */
struct packet_addrs {
	u8 saddr[16];
	u8 hop[16];
};
BPF_TABLE("lru_hash", u64, struct packet_addrs, packet_addrs, 4096);

static inline void keep_source(struct sock *sk, const struct flow *flow)
{
	u64 key = (u64)sk;
	struct packet_addrs addrs;

	if (READ(sk, skc_rcv_saddr) && no_addr(flow->hop))
		return;		/* all is known */
	__builtin_memcpy(addrs.saddr, flow->saddr, 16);
	__builtin_memcpy(addrs.hop, flow->hop, 16);
	packet_addrs.update(&key, &addrs);
}

/* For the hook on the end of the system call, which comes after the packet was made. */
static inline void set_addrs_of_packet(struct flow *flow, struct sock *sk)
{
	u64 key = (u64)sk;
	struct packet_addrs *addrs = packet_addrs.lookup(&key);

	if (!addrs)
		return;
	if (no_addr(flow->saddr))
		__builtin_memcpy(flow->saddr, addrs->saddr, 16);
	__builtin_memcpy(flow->hop, addrs->hop, 16);
	packet_addrs.delete(&key);
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
