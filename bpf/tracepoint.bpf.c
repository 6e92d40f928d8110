/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracepoint rung, for kernels without kprobes or where tracing trampolines
 * are refused. BTF-typed tracepoints, so kernel objects can be read directly and
 * a socket can be asked for its cookie.
 *
 * UDP is seen where a packet is handed to a device (net_dev_queue), which is
 * after the sending system call has done its checks: a send that failed before
 * is not seen. A datagram whose neighbour is not resolved yet waits there, and
 * may never reach the device; neigh_event_send_done sees it in its sender's
 * context.
 */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define TCP_SYN_SENT 2		/* include/net/tcp_states.h */
#define IPPROTO_UDPLITE 136
#define SKB_DST_PTRMASK ~1UL	/* include/linux/skbuff.h */
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_EXTENSIONS 4	/* that are looked through for the UDP header */
#define DESCRIPTORS_SEARCHED 512

struct ipv4_udp {		/* an IPv4 header without options and what follows it */
	u8 version_ihl, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 saddr, daddr;
	u16 udp[3];
};

struct ipv6_udp {
	u32 version_class_label;
	u16 payload_length;
	u8 next_header, hop_limit;
	u8 saddr[16], daddr[16];
	u16 udp[3];
};

/* The datagram last seen on a device that hands packets on to another one. */
struct handed_on {
	u64 head;		/* sk_buff.head: clones share it */
	u8 daddr[16];
	u16 sport, dport;
	u32 pad;
};
BPF_PERCPU_ARRAY(handed_on, struct handed_on, 1);

/* Datagrams reported while they waited for their neighbour, by sk_buff. */
BPF_TABLE("lru_hash", u64, u32, awaiting_neighbour, 4096);

BPF_PERCPU_ARRAY(context_address, u64, 1);

/*
 * Is this the current task's own doing? An interrupt (a softirq on its way out
 * of one included) runs on a stack of its own, and the context of a tracepoint
 * lies on the stack that is in use. Where softirqs share the task's stack
 * (PREEMPT_RT), the answer is yes too often.
 */
static inline bool in_task(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 zero = 0;
	u64 *address = context_address.lookup(&zero);

	if (!address)
		return false;
	*(void *volatile *)address = ctx;
	return *(volatile u64 *)address - (u64)READ(task, stack) < THREAD_SIZE;
}

/* Does the current task hold this socket open? Looks at its first descriptors. */
static inline bool current_holds(struct sock *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct files_struct *files = READ(task, files);
	struct fdtable *table = READ(files, fdt);
	struct file **descriptors = READ(table, fd);
	struct socket *socket = READ(sk, sk_socket);
	struct file *wanted = READ(socket, file), *file = 0;
	u32 count = READ(table, max_fds);

	if (!wanted)
		return false;
	for (u32 i = 0; i < DESCRIPTORS_SEARCHED && i < count; i++) {
		bpf_probe_read_kernel(&file, sizeof(file), &descriptors[i]);
		if (file == wanted)
			return true;
	}
	return false;
}

/* UDP's ports and payload from its header's first 6 bytes. */
static inline void set_udp(struct event *event, const u16 *udp)
{
	event->flow.sport = bpf_ntohs(udp[0]);
	event->flow.dport = bpf_ntohs(udp[1]);
	event->bytes = (u16)(bpf_ntohs(udp[2]) - 8);
}

/* Is this the (first fragment of a) UDP datagram? Then its headers are in *event. */
static inline bool parse_ipv4(struct event *event, u8 *at)
{
	struct ipv4_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (ip.protocol != IPPROTO_UDP)
		return false;
	if (ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return false;
	if ((ip.version_ihl & 15) > 5)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), at + 4 * (ip.version_ihl & 15));
	set_ipv4(event->flow.saddr, ip.saddr);
	set_ipv4(event->flow.daddr, ip.daddr);
	set_udp(event, ip.udp);
	return true;
}

/* Steps over the extension headers that a sender may have put before UDP (RFC 8200). */
static inline bool find_udp(u8 next, u8 *at, u16 *udp)
{
	u8 header[4];

#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (next == IPPROTO_UDP)
			return !bpf_probe_read_kernel(udp, 6, at);
		bool fragment = next == 44;
		if (!fragment && next != 0 && next != 43 && next != 60)
			return false;
		bpf_probe_read_kernel(header, sizeof(header), at);
		if (fragment && (header[2] || header[3] & 0xf8))
			return false;	/* not the first fragment */
		next = header[0];
		at += fragment ? 8 : 8 * (header[1] + 1);
	}
	return false;
}

static inline bool parse_ipv6(struct event *event, u8 *at)
{
	struct ipv6_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (ip.next_header == IPPROTO_TCP)
		return false;
	if (ip.next_header != IPPROTO_UDP && !find_udp(ip.next_header, at + 40, ip.udp))
		return false;
	__builtin_memcpy(event->flow.saddr, ip.saddr, 16);
	__builtin_memcpy(event->flow.daddr, ip.daddr, 16);
	set_udp(event, ip.udp);
	return true;
}

static inline bool parse(struct event *event, struct sk_buff *skb)
{
	u16 protocol = skb->protocol;
	u8 *at = (u8 *)skb->head + skb->network_header;

	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(event, at);
	return protocol == bpf_htons(ETH_P_IPV6) && parse_ipv6(event, at);
}

/*
 * A packet may pass several devices (a VLAN on a bond on a card), each with a
 * net_dev_queue of its own; it counts on the one that its route names. Stacked
 * devices keep the packet's route (netif_keep_dst()), a card's is dropped before
 * the tracepoint (IFF_XMIT_DST_RELEASE, __dev_queue_xmit()): without a route, it
 * has been counted if the device above just handed it on.
 */
static inline bool counted_above(struct sk_buff *skb, const struct flow *flow)
{
	struct dst_entry *route = (struct dst_entry *)(skb->_skb_refdst & SKB_DST_PTRMASK);
	u32 zero = 0;
	struct handed_on *above = handed_on.lookup(&zero);

	if (!above)
		return false;
	if (!route)
		return above->head == (u64)skb->head && above->sport == flow->sport &&
		       above->dport == flow->dport &&
		       same_addr(above->daddr, flow->daddr);
	if (READ(route, dev) != skb->dev)
		return true;
	above->head = (u64)skb->head;
	above->sport = flow->sport;
	above->dport = flow->dport;
	__builtin_memcpy(above->daddr, flow->daddr, 16);
	return false;
}

/* A tunnel's packet still carries the socket of what it wraps: the ports tell. */
static inline u8 via_of(struct sock *sk, u16 sport)
{
	u16 family = READ(sk, skc_family);
	u16 type = READ(sk, sk_type);

	if (family == AF_PACKET)
		return VIA_PACKET;
	if (type == SOCK_RAW)
		return VIA_RAW;
	if (type != SOCK_DGRAM || READ(sk, skc_num) != sport)
		return VIA_KERNEL;
	struct socket *socket = READ(sk, sk_socket);
	if (socket && !READ(socket, file))
		return VIA_KERNEL;	/* made by sock_create_kern() */
	return VIA_SOCKET;
}

/* The cookie if the socket has one already. */
static inline u64 known_cookie(struct sock *sk)
{
	return READ(sk, skc_cookie);
}

/* The cookie, made now if need be; where the kernel cannot, the known one. */
static inline u64 cookie_of(struct sock *sk)
{
#ifdef HAVE_SOCKET_COOKIE
	return bpf_get_socket_cookie(sk);
#else
	return known_cookie(sk);
#endif
}

/* The same of a packet's socket, by a way that leaves the verifier its type. */
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

static inline void fill_kernel_sender(struct flow *flow, struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;

	flow->ifindex = READ(dev, ifindex);
}

/* One datagram, its addresses already matched; who sent it, and out. */
static inline void report(void *ctx, struct event *event, struct sk_buff *skb, u64 cookie,
			  u32 parts)
{
	struct sock *sk = skb->sk;
	struct flow *flow = &event->flow;

	flow->kind = EVENT_SEND;
	flow->netns = netns_of_packet(skb);
	flow->via = sk ? via_of(sk, flow->sport) : VIA_KERNEL;
	if (flow->via != VIA_KERNEL && (in_task(ctx) || current_holds(sk)))
		fill_process(flow);
	if (flow->via == VIA_KERNEL)
		fill_kernel_sender(flow, skb);
	else
		flow->cookie = cookie;
	if (!process_passes(parts, flow))
		return;
	event->segments = segments_of(skb);
	emit(event);
}

int net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct event event = {};
	u64 key = (u64)skb;

	if (!parse(&event, skb))
		return 0;
	COUNT(datagrams);
	u32 parts = active_filter_parts();
	event.flow.proto = IPPROTO_UDP;
	if (!addresses_pass(parts, &event.flow))
		return 0;
	if (!skb->sk && skb->skb_iif)
		return 0;	/* forwarded: not this machine's own */
	if (counted_above(skb, &event.flow))
		return 0;
	if (!in_task(ctx) && awaiting_neighbour.lookup(&key)) {
		awaiting_neighbour.delete(&key);
		return 0;	/* reported when it began to wait */
	}
	report(ctx, &event, skb, cookie_of_packet(skb), parts);
	return 0;
}

/* After __neigh_event_send() put a datagram in the queue of an unresolved neighbour. */
int neigh_event_send_done(u64 *ctx)
{
	struct neighbour *neigh = (struct neighbour *)ctx[0];
	struct sk_buff *skb = neigh->arp_queue_prev;
	struct event event = {};
	u64 key = (u64)skb;
	u32 reported = 1;

	if (!(u32)ctx[1] || (void *)skb == (void *)&neigh->arp_queue_next)
		return 0;	/* nothing waits: it was sent, or dropped */
	if (!parse(&event, skb) || !in_task(ctx))
		return 0;
	COUNT(datagrams);
	u32 parts = active_filter_parts();
	event.flow.proto = IPPROTO_UDP;
	if (!addresses_pass(parts, &event.flow))
		return 0;
	if (!skb->sk || !current_holds(skb->sk) || awaiting_neighbour.lookup(&key))
		return 0;	/* another task's datagram came in between */
	awaiting_neighbour.update(&key, &reported);
	report(ctx, &event, skb, known_cookie(skb->sk), parts);
	return 0;
}

static inline void set_addresses_of_sock(struct flow *flow, struct sock *sk)
{
	if (READ(sk, skc_family) == AF_INET) {
		set_ipv4(flow->saddr, READ(sk, skc_rcv_saddr));
		set_ipv4(flow->daddr, READ(sk, skc_daddr));
	} else {
		bpf_probe_read_kernel(flow->saddr, 16, &sk->skc_v6_rcv_saddr);
		bpf_probe_read_kernel(flow->daddr, 16, &sk->skc_v6_daddr);
	}
	flow->sport = READ(sk, skc_num);
	flow->dport = bpf_ntohs(READ(sk, skc_dport));
}

int inet_sock_set_state(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct event event = {};
	struct flow *flow = &event.flow;

	if ((int)ctx[2] != TCP_SYN_SENT || READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	COUNT(connects);
	u32 parts = active_filter_parts();
	flow->kind = EVENT_CONNECT;
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_addresses_of_sock(flow, sk);
	if (!addresses_pass(parts, flow))
		return 0;
	flow->netns = netns_of_sock(sk);
	fill_process(flow);
	if (!process_passes(parts, flow))
		return 0;
	flow->cookie = cookie_of(sk);
	event.segments = 1;
	event.error = ERROR_NOT_OBSERVED;
	emit(&event);
	return 0;
}
