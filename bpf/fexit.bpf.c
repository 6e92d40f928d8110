/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fexit probe: one program gets the arguments and the result. The arguments are ctx[0],
 * ctx[1], …; the result comes after the last one. */

/*
 * udpv6_sendmsg() passes a datagram for an IPv4(-mapped) address to udp_sendmsg(), whose
 * hook reports it. This map holds the threads that return from there, so that the hook on
 * udpv6_sendmsg() reports only a call that has not come so far: it may fail before.
 */
BPF_TABLE("lru_hash", u64, u64, handed_to_ipv4, 4096);

static inline bool probe_reports(void *ctx, struct sk_buff *skb, struct sock *sk, u8 via)
{
	return is_udp_socket(sk, via) && !is_corked(sk);
}

static inline void call_goes_on(void)
{
}

static inline void send_returned(struct sock *sk, struct msghdr *msg, int result)
{
	u32 parts = active_filter_parts();
	struct event event = {};

	if (datagram_sent(&event, sk, msg, result, parts)) {
		event.flow.cookie = cookie_of(sk);
		emit(parts, &event);
	}
	forget_rewriting_of_send(sk);
}

static inline void udp_sendmsg_returned(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	u64 thread = bpf_get_current_pid_tgid(), socket = (u64)sk;

	if (sk->skc_family == AF_INET6)
		handed_to_ipv4.update(&thread, &socket);
	send_returned(sk, (struct msghdr *)ctx[1], ctx[3]);
}

static inline void udpv6_sendmsg_returned(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	u64 thread = bpf_get_current_pid_tgid();
	u64 *socket = handed_to_ipv4.lookup(&thread);
	bool reported = socket && *socket == (u64)sk;

	if (reported)
		handed_to_ipv4.delete(&thread);
	else
		send_returned(sk, (struct msghdr *)ctx[1], ctx[3]);
}

int fexit_udp_sendmsg(u64 *ctx)
{
	udp_sendmsg_returned(ctx);
	return 0;
}

int fexit_udpv6_sendmsg(u64 *ctx)
{
	udpv6_sendmsg_returned(ctx);
	return 0;
}

/*
 * The kernel passes over a program that another task of this CPU was preempted in the middle of
 * (__bpf_prog_enter_recur()). Then what the call's packet left is still there. Of the programs on
 * a function, the one attached last runs first (bpf_trampoline_link_prog()).
 */
int fexit_again_udp_sendmsg(u64 *ctx)
{
	if (kept_packet((struct sock *)ctx[0]))
		udp_sendmsg_returned(ctx);
	return 0;
}

int fexit_again_udpv6_sendmsg(u64 *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();

	if (kept_packet((struct sock *)ctx[0]) || handed_to_ipv4.lookup(&thread))
		udpv6_sendmsg_returned(ctx);
	return 0;
}

int fentry_tcp_connect(u64 *ctx)
{
	connect_attempted((struct sock *)ctx[0]);
	return 0;
}

int fexit_tcp_v4_connect(u64 *ctx)
{
	connect_returned((struct sock *)ctx[0], (void *)ctx[1], ctx[3], false);
	forget_rewriting((struct sock *)ctx[0]);
	return 0;
}

int fexit_tcp_v6_connect(u64 *ctx)
{
	connect_returned((struct sock *)ctx[0], (void *)ctx[1], ctx[3], true);
	forget_rewriting((struct sock *)ctx[0]);
	return 0;
}

int fexit_inet_csk_accept(u64 *ctx)
{
	accept_returned((struct sock *)ctx[INET_CSK_ACCEPT_ARGUMENTS]);
	return 0;
}

int fentry_security_sock_graft(u64 *ctx)
{
	accept_returned((struct sock *)ctx[0]);
	return 0;
}

int fentry_cgroup_sock_addr(u64 *ctx)
{
	rewriting_begins((struct sock *)ctx[0], (void *)ctx[1], ctx[SOCK_ADDR_TYPE_ARGUMENT]);
	return 0;
}

int fexit_cgroup_sock_addr(u64 *ctx)
{
	rewriting_ends();
	return 0;
}

int fentry_dev_direct_xmit(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];

	packet_bypasses_queue(ctx, skb, cookie_of_packet(skb));
	return 0;
}

int fentry_netpoll_send_skb(u64 *ctx)
{
	packet_bypasses_queue(ctx, (struct sk_buff *)ctx[1], 0);
	return 0;
}
