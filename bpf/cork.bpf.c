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

/* The source addresses that the route chose, for sockets that are not bound to one. */
struct source {
	u8 addr[16];
};
BPF_TABLE("lru_hash", u64, struct source, sources, 4096);

static inline void keep_source(struct sock *sk, const struct flow *flow)
{
	u64 key = (u64)sk;
	struct source source;

	if (READ(sk, skc_rcv_saddr))
		return;		/* it is bound: its address is known */
	__builtin_memcpy(source.addr, flow->saddr, sizeof(source.addr));
	sources.update(&key, &source);
}

/* For the hook on the end of the system call, which comes after the packet was made. */
static inline void set_source_of_packet(struct flow *flow, struct sock *sk)
{
	u64 key = (u64)sk;
	struct source *source = sources.lookup(&key);

	if (!source)
		return;
	__builtin_memcpy(flow->saddr, source->addr, sizeof(source->addr));
	sources.delete(&key);
}

static inline bool probe_sees_calls(void)
{
	return true;
}

static inline bool probe_reports(struct sock *sk, u8 via)
{
	u64 key = (u64)sk;

	return via == VIA_SOCKET && !corked.lookup(&key);
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
