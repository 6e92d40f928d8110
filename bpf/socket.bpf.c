/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what a struct sock says of itself.
 */

static inline u32 netns_of_sock(struct sock *sk)
{
	struct net *net = READ_ARGUMENT(sk, net);

	return READ_ARGUMENT(net, inum);
}

/* Returns the cookie if the socket has one already, else 0. */
static inline u64 known_cookie(struct sock *sk)
{
	return READ(sk, skc_cookie);
}

/* Returns the cookie, and makes it if there is none; if the kernel cannot, the known one. The
 * verifier must know sk's type. */
static inline u64 cookie_of(struct sock *sk)
{
#ifdef HAVE_SOCKET_COOKIE
	return bpf_get_socket_cookie(sk);
#else
	return known_cookie(sk);
#endif
}

/* Sets the local and, if the socket is connected, the remote end. */
static inline void set_ends_of_sock(struct flow *flow, struct sock *sk)
{
	if (READ_ARGUMENT(sk, skc_family) == AF_INET) {
		set_ipv4(flow->saddr, READ_ARGUMENT(sk, skc_rcv_saddr));
		set_ipv4(flow->daddr, READ_ARGUMENT(sk, skc_daddr));
	} else {
		bpf_probe_read_kernel(flow->saddr, 16, &sk->skc_v6_rcv_saddr);
		bpf_probe_read_kernel(flow->daddr, 16, &sk->skc_v6_daddr);
	}
	flow->sport = READ_ARGUMENT(sk, skc_num);
	flow->dport = bpf_ntohs(READ_ARGUMENT(sk, skc_dport));
}
