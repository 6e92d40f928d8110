/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The second witness of `sockwatch prove`: counts the calls of udp_sendmsg() and udpv6_sendmsg() in
 * each network namespace, to be compared with how many datagrams that says it has sent. Only
 * udp_send_skb() and udp_v6_send_skb() (net/ipv4/udp.c, net/ipv6/udp.c) add to that, and at most once
 * for a call: what setsockopt() or splice() sends of a corked socket was begun by a call that has sent
 * nothing itself.
 *
 * A call is counted before it sends, so that a datagram that the kernel has counted has its call.
 */

struct calls_key {
	u64 cookie;
	u64 inode;
};
_Static_assert(sizeof(struct calls_key) == 16, "tracer/kernel/udp_calls.py says 16");

/* By the function: one for an IPv4-mapped address is in both. */
struct udp_calls {
	u64 ipv4;
	u64 ipv6;
};
_Static_assert(sizeof(struct udp_calls) == 16, "tracer/kernel/udp_calls.py says 16");

BPF_PERCPU_HASH(udp_calls, struct calls_key, struct udp_calls, WATCHED_ENTRIES);

/* If there is no room, the namespace's own count will disagree. */
static inline struct udp_calls *calls_by(struct sock *sk)
{
	struct net *net = READ(sk, net);
	struct udp_calls none = {};
	struct calls_key key = { .inode = READ(net, inum) };

#ifdef HAVE_NET_NET_COOKIE
	key.cookie = READ(net, net_cookie);
#endif
	struct udp_calls *found = udp_calls.lookup(&key);
	if (found)
		return found;
	udp_calls.insert(&key, &none);
	return udp_calls.lookup(&key);
}

static inline void count_ipv4_call(struct sock *sk)
{
	struct udp_calls *found = calls_by(sk);

	if (found)
		__sync_fetch_and_add(&found->ipv4, 1);
}

static inline void count_ipv6_call(struct sock *sk)
{
	struct udp_calls *found = calls_by(sk);

	if (found)
		__sync_fetch_and_add(&found->ipv6, 1);
}

#ifdef UNTYPED_ARGUMENTS
int kprobe_count_udp_sendmsg(struct pt_regs *ctx)
{
	count_ipv4_call((struct sock *)PT_REGS_PARM1(ctx));
	return 0;
}

int kprobe_count_udpv6_sendmsg(struct pt_regs *ctx)
{
	count_ipv6_call((struct sock *)PT_REGS_PARM1(ctx));
	return 0;
}
#else
int fentry_count_udp_sendmsg(u64 *ctx)
{
	count_ipv4_call((struct sock *)ctx[0]);
	return 0;
}

int fentry_count_udpv6_sendmsg(u64 *ctx)
{
	count_ipv6_call((struct sock *)ctx[0]);
	return 0;
}
#endif
