/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook calls: reads a datagram from the arguments of udp_sendmsg() and
 * udpv6_sendmsg(), and adds their result.
 */

#define SOL_UDP 17
#define UDP_SEGMENT 103		/* include/uapi/linux/udp.h */
#define CONTROL_MESSAGES 4	/* at most so many are searched for a segment size */

struct control_header {		/* struct cmsghdr, include/linux/socket.h */
	u64 length;
	int level, type;
};

/* Replaces the unspecified address, to which nothing is sent, by this host, which it stands for
 * (udpv6_sendmsg(), ip_route_output_key_hash()). */
static inline void replace_unspecified(struct flow *flow)
{
	if (no_addr(flow->daddr)) {
		flow->daddr[15] = 1;
	} else if (is_ipv4(flow->daddr) && *(u32 *)(flow->daddr + 12) == 0) {
		u32 local = *(u32 *)(flow->saddr + 12);

		set_ipv4(flow->daddr, local ? local : bpf_htonl(0x7f000001));
	}
}

/* Clears an unspecified source: if the socket is bound to no address, only its packets have one. */
static inline void forget_unspecified_source(struct flow *flow)
{
	if (is_ipv4(flow->saddr) && *(u32 *)(flow->saddr + 12) == 0)
		__builtin_memset(flow->saddr, 0, 16);
}

/* Sets the destination from a sockaddr in kernel memory; false if it holds none. */
static inline bool set_destination(struct flow *flow, void *address)
{
	struct sockaddr_any any = {};

	bpf_probe_read_kernel(&any, sizeof(any), address);
	if (!set_addr(flow->daddr, &any))
		return false;
	flow->oif = has_zone(flow->daddr) * any.scope_id;
	flow->dport = bpf_ntohs(any.port);
	return true;
}

/* Sets both ends and what the route depends on; the address that came with the message wins over
 * the connected peer. PACKET is what is kept of its packet; SENT is 1 if it was sent, else 0. */
static inline bool set_ends(struct flow *flow, struct sock *sk, struct msghdr *msg,
			    struct sent_packet *packet, u32 sent)
{
	void *name = READ_ARGUMENT(msg, msg_name);

	set_ends_of_sock(flow, sk);
	if (name && !set_destination(flow, name))
		return false;
	if (flow->dport)
		replace_unspecified(flow);
	else	/* neither an address nor a peer */
		__builtin_memset(flow->daddr, 0, 16);
	forget_unspecified_source(flow);
	set_route_of_sock(flow, sk, unicast_interface(sk));
	set_packet_of_call(flow, packet, sent);
	undo_rewriting_of_call(flow, sk, name ? bpf_get_current_pid_tgid() : 0);
	if (name && is_ipv4(flow->daddr) && READ_ARGUMENT(sk, skc_family) == AF_INET6)
		undo_rewriting_of_call(flow, sk, 0);	/* udpv6_sendmsg() names the peer itself */
	return true;
}

/* Returns the segment size asked for with the message, else with setsockopt(); 0 if none. */
static inline u32 segment_size(struct sock *sk, struct msghdr *msg)
{
	struct udp_sock *udp = (struct udp_sock *)sk;
	struct control_header header = {};
	u8 *at = READ_ARGUMENT(msg, msg_control);
	u64 left = READ_ARGUMENT(msg, msg_controllen);
	u16 size = READ(udp, gso_size);

	for (int i = 0; i < CONTROL_MESSAGES && left >= sizeof(header) + sizeof(size); i++) {
		bpf_probe_read_kernel(&header, sizeof(header), at);
		if (header.level == SOL_UDP && header.type == UDP_SEGMENT)
			bpf_probe_read_kernel(&size, sizeof(size), at + sizeof(header));
		u64 step = (header.length + 7) & ~7ULL;
		if (step < sizeof(header) || step > left)
			break;
		at += step;
		left -= step;
	}
	return size;
}

/* Fills in a datagram, all but its result; false if it does not match. PACKET, SENT: see set_ends(). */
static inline bool fill_datagram(struct event *event, struct sock *sk, struct msghdr *msg,
				 struct sent_packet *packet, u32 sent, u32 parts)
{
	struct flow *flow = &event->flow;
	struct socket *socket = READ_ARGUMENT(sk, sk_socket);

	if (socket && !READ_ARGUMENT(socket, file))
		return false;	/* the kernel's own: seen as a packet */
	flow->proto = READ_ARGUMENT(sk, sk_protocol);
	if (!set_ends(flow, sk, msg, packet, sent) || !addresses_pass(parts, flow))
		return false;
	FORGET(*flow);	/* the ways here differ in what is 0 */
	flow->kind = EVENT_SEND;
	flow->via = VIA_SOCKET;
	flow->netns = netns_of_sock(sk);
	fill_process(flow);
	return process_passes(parts, flow);
}

static inline void set_result(struct event *event, struct sock *sk, struct msghdr *msg, int result)
{
	u32 size = segment_size(sk, msg);

	event->error = result < 0 ? -result : 0;
	event->bytes = result < 0 ? 0 : result;
	event->segments = size && result > (int)size ? (result + size - 1) / size : 1;
}

/* Fills in a datagram whose system call has its result; false if it is not to be reported. */
static inline bool datagram_sent(struct event *event, struct sock *sk, struct msghdr *msg,
				 int result, u32 parts)
{
	struct sent_packet *packet = kept_packet(sk);
	u32 sent = 1 - ((u32)result >> 31);

	COUNT(datagrams);
	if (part_of_corked(sk, packet, result) ||
	    !fill_datagram(event, sk, msg, packet, sent, parts))
		return false;
	set_result(event, sk, msg, result);
	return true;
}
