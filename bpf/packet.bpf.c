/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of UDP, seen where they are handed to a device (net_dev_queue). On the
 * tracepoint rung that is all that is seen of UDP: a send that failed before, in
 * the system call, is not. A datagram whose neighbour is not resolved yet waits
 * there, and may never reach the device; neigh_event_send_done sees it in its
 * sender's context.
 *
 * With SENDMSG_HOOKED the other rungs see what goes through udp_sendmsg()
 * themselves; here remain raw and packet sockets, the kernel's own datagrams, and
 * corked sockets, whose datagram is complete only here.
 */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define SOCK_RAW 3
#define SKB_DST_PTRMASK ~1UL	/* include/linux/skbuff.h */
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_EXTENSIONS 4	/* that are looked through for the UDP header */
#define DESCRIPTORS_AT_ONCE 16

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

/* Datagrams reported while they waited for their neighbour: sk_buff to struct sock. One that
 * is dropped there leaves its entry behind. */
BPF_TABLE("lru_hash", u64, u64, awaiting_neighbour, 4096);

BPF_PERCPU_ARRAY(context_address, u64, 1);

/*
 * Is the current task in a system call of its own? On x86-64 an interrupt of user space
 * (and the softirq on its way out) runs on the task's stack, with -1 where a system call
 * has its number (idtentry_body, arch/x86/entry/entry_64.S).
 */
static inline bool in_system_call(struct task_struct *task, u64 stack)
{
#ifdef bpf_target_x86
#ifdef HAVE_TASK_PT_REGS
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#else
	struct pt_regs *regs = (struct pt_regs *)(stack + THREAD_SIZE) - 1;
#endif
	return READ(task, flags) & PF_IO_WORKER || READ(regs, orig_ax) != -1ULL;
#else
	return true;
#endif
}

/*
 * Is this the current process's own doing? A kernel thread may send what a process left
 * behind (ksoftirqd, threaded NAPI). Another interrupt runs on a stack of its own, and
 * the context of a tracepoint lies on the stack that is in use. Where softirqs share the
 * stack of a task in a system call (PREEMPT_RT), the answer is yes too often.
 */
static inline bool in_task(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 stack = (u64)READ(task, stack);
	u32 zero = 0;
	u64 *address = context_address.lookup(&zero);

	if (!address)
		return false;
	*(void *volatile *)address = ctx;
	return *(volatile u64 *)address - stack < THREAD_SIZE &&
	       !(READ(task, flags) & PF_KTHREAD) && in_system_call(task, stack);
}

/* Does the current task hold this socket open? Looks at its first 512 descriptors. */
static inline bool current_holds(struct sock *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct files_struct *files = READ(task, files);
	struct fdtable *table = READ(files, fdt);
	struct file **descriptors = READ(table, fd), *some[DESCRIPTORS_AT_ONCE];
	struct socket *socket = READ(sk, sk_socket);
	struct file *wanted = READ(socket, file);
	u32 count = READ(table, max_fds);	/* a multiple of 64 (alloc_fdtable) */

	if (!wanted)
		return false;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 512; i += DESCRIPTORS_AT_ONCE) {
		asm volatile("" : "+r"(i));	/* else the bound is lost in a countdown */
		if (i >= count)
			return false;
		bpf_probe_read_kernel(some, sizeof(some), descriptors + i);
#pragma unroll
		for (int j = 0; j < DESCRIPTORS_AT_ONCE; j++) {
			/* A branch for each: LLVM 19 makes one of all of them otherwise, by 16
			 * booleans, of which the verifier tries every combination. */
			asm volatile("" : "+r"(wanted));
			if (some[j] == wanted)
				return true;
		}
	}
	return false;
}

/*
 * Ports and payload from the first 6 bytes of a UDP or UDP-Lite header; the latter
 * has its checksum's coverage where the former has its length, so that the length
 * below IP must tell.
 */
static inline void set_udp(struct event *event, u8 proto, const u16 *udp, u16 below_ip)
{
	event->flow.proto = proto;
	event->flow.sport = bpf_ntohs(udp[0]);
	event->flow.dport = bpf_ntohs(udp[1]);
	event->bytes = (u16)((proto == IPPROTO_UDP ? bpf_ntohs(udp[2]) : below_ip) - 8);
}

static inline bool is_udp(u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* Is this the (first fragment of a) UDP datagram? Then its headers are in *event. */
static inline bool parse_ipv4(struct event *event, u8 *at)
{
	struct ipv4_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (!is_udp(ip.protocol))
		return false;
	if (ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return false;
	u32 header = 4 * (ip.version_ihl & 15);
	if (header > 20)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), at + header);
	set_ipv4(event->flow.saddr, ip.saddr);
	set_ipv4(event->flow.daddr, ip.daddr);
	set_udp(event, ip.protocol, ip.udp, bpf_ntohs(ip.length) - header);
	return true;
}

/*
 * Steps over the extension headers that a sender may have put before UDP (RFC 8200):
 * the UDP header's protocol and its place from the end of the IPv6 header, or -1.
 */
static inline int find_udp(u8 *next, u8 *at)
{
	u8 header[4];
	int skipped = 0;

#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (is_udp(*next))
			return skipped;
		bool fragment = *next == 44;
		if (!fragment && *next != 0 && *next != 43 && *next != 60)
			return -1;
		bpf_probe_read_kernel(header, sizeof(header), at + skipped);
		if (fragment && (header[2] || header[3] & 0xf8))
			return -1;	/* not the first fragment */
		*next = header[0];
		skipped += fragment ? 8 : 8 * (header[1] + 1);
	}
	return -1;
}

static inline bool parse_ipv6(struct event *event, u8 *at)
{
	struct ipv6_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (ip.next_header == IPPROTO_TCP)
		return false;
	int skipped = find_udp(&ip.next_header, at + 40);
	if (skipped < 0)
		return false;
	if (skipped)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), at + 40 + skipped);
	__builtin_memcpy(event->flow.saddr, ip.saddr, 16);
	__builtin_memcpy(event->flow.daddr, ip.daddr, 16);
	set_udp(event, ip.next_header, ip.udp, bpf_ntohs(ip.payload_length) - skipped);
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

/*
 * A tunnel's packet still carries the socket of what it wraps, and has inner headers
 * (iptunnel_handle_offloads). Ports do not tell: NAT has changed them by now.
 */
static inline u8 via_of(struct sk_buff *skb, struct sock *sk)
{
	struct socket *socket = READ(sk, sk_socket);

	if (READ(skb, inner_network_header))
		return VIA_KERNEL;
	if (socket && !READ(socket, file))
		return VIA_KERNEL;	/* made by sock_create_kern() */
	if (READ(sk, skc_family) == AF_PACKET)
		return VIA_PACKET;
	if (READ(sk, sk_type) == SOCK_RAW)
		return VIA_RAW;
	return is_udp(READ(sk, sk_protocol)) ? VIA_SOCKET : VIA_KERNEL;
}

/* The cookie of a packet's socket, by a way that leaves the verifier its type. */
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

	bpf_probe_read_kernel(flow->comm, sizeof(flow->comm), &dev->name);
}

/*
 * Sockets whose datagram is put together by several calls (MSG_MORE, UDP_CORK,
 * splice): CORKED from the first call that leaves data pending, REPORTED once the
 * packet has been seen here.
 */
#define CORKED 1
#define REPORTED 2
BPF_TABLE("lru_hash", u64, u32, corked, 4096);

#ifdef SENDMSG_HOOKED
/* The source addresses that the route chose, for sockets that are bound to none. */
struct source {
	u8 addr[16];
};
BPF_TABLE("lru_hash", u64, struct source, sources, 4096);

static inline void keep_source(struct sock *sk, const struct flow *flow)
{
	u64 key = (u64)sk;
	struct source source;

	__builtin_memcpy(source.addr, flow->saddr, sizeof(source.addr));
	sources.update(&key, &source);
}

/* For the hook on the system call, which ends after the packet was made. */
static inline void set_source_of_packet(struct flow *flow, struct sock *sk)
{
	u64 key = (u64)sk;
	struct source *source = sources.lookup(&key);

	if (!source)
		return;
	__builtin_memcpy(flow->saddr, source->addr, sizeof(source->addr));
	sources.delete(&key);
}
#endif

/* Is this an ordinary datagram of a UDP socket, which udp_sendmsg()'s hook reports? */
static inline bool seen_by_sendmsg(struct sock *sk, u8 via)
{
#ifdef SENDMSG_HOOKED
	u64 key = (u64)sk;

	return via == VIA_SOCKET && !corked.lookup(&key);
#else
	return false;
#endif
}

/* Is this datagram of a once corked socket reported here already? */
static inline bool corked_and_reported(struct sock *sk, u8 via)
{
#ifdef SENDMSG_HOOKED
	u64 key = (u64)sk;
	u32 reported = REPORTED;
	u32 *state = via == VIA_SOCKET ? corked.lookup(&key) : 0;

	if (!state)
		return false;
	if (*state == CORKED) {
		corked.update(&key, &reported);
		return false;
	}
	corked.delete(&key);	/* setsockopt() had pushed it; this is a later datagram */
	return true;
#else
	return false;
#endif
}

/*
 * One datagram, its addresses already matched; who sent it (OWN: the current process for
 * certain, else if it holds the socket), and out. The socket comes
 * untyped (READ), so that the verifier lets it be passed around.
 */
static inline void report(struct event *event, struct sk_buff *skb,
			  struct sock *sk, u64 cookie, bool own, u32 parts)
{
	struct flow *flow = &event->flow;

	flow->kind = EVENT_SEND;
	flow->netns = netns_of_packet(skb);
	if (flow->via != VIA_KERNEL && (own || current_holds(sk)))
		fill_process(flow);
	if (flow->via == VIA_KERNEL)
		fill_kernel_sender(flow, skb);
	else
		flow->cookie = cookie;
	if (!process_passes(parts, flow))
		return;
	event->segments = segments_of(skb);
	emit(parts, event);
}

/* The state of a corked socket must follow its packets, whatever the filter says. */
static inline bool wanted(struct sk_buff *skb, struct sock *sk, const struct flow *flow,
			  bool passes)
{
	if (seen_by_sendmsg(sk, flow->via)) {
#ifdef SENDMSG_HOOKED
		if (passes && !READ(sk, skc_rcv_saddr))
			keep_source(sk, flow);
#endif
		return false;
	}
#ifdef SENDMSG_HOOKED
	COUNT(datagrams);
#endif
	return !counted_above(skb, flow) && !corked_and_reported(sk, flow->via) && passes;
}

/* Was this datagram reported when it began to wait for its neighbour? */
static inline bool reported_waiting(struct sk_buff *skb, struct sock *sk)
{
	u64 key = (u64)skb;
	u64 *waited = awaiting_neighbour.lookup(&key);
	bool reported = waited && *waited == (u64)sk;

	if (reported)
		awaiting_neighbour.delete(&key);
	return reported;
}

int net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct event event = {};

	if (!parse(&event, skb))
		return 0;
	u32 parts = active_filter_parts();
	bool passes = addresses_pass(parts, &event.flow);
#ifndef SENDMSG_HOOKED
	COUNT(datagrams);
	if (!passes)
		return 0;
#endif
	struct sock *sk = READ(skb, sk);	/* not before: most packets end above */

	if (!sk && skb->skb_iif)
		return 0;	/* forwarded: not this machine's own */
	event.flow.via = sk ? via_of(skb, sk) : VIA_KERNEL;
	if (!wanted(skb, sk, &event.flow, passes))
		return 0;
	bool own = in_task(ctx);
	if (!own && reported_waiting(skb, sk))
		return 0;
	report(&event, skb, sk, cookie_of_packet(skb), own, parts);
	return 0;
}

/*
 * After __neigh_event_send() put a datagram in the queue of an unresolved neighbour:
 * the last one there, unless another task's came in between. Each call with a datagram puts
 * one there; an older one may have had the same sk_buff.
 */
int neigh_event_send_done(u64 *ctx)
{
	struct neighbour *neigh = (struct neighbour *)ctx[0];
	struct sk_buff *skb = neigh->arp_queue_prev;
	struct sock *sk = READ(skb, sk);
	struct event event = {};
	u64 key = (u64)skb, socket = (u64)sk;

	if (!(u32)ctx[1] || (void *)skb == (void *)&neigh->arp_queue_next)
		return 0;	/* nothing waits: it was sent, or dropped */
	if (!parse(&event, skb) || !in_task(ctx))
		return 0;
	u32 parts = active_filter_parts();
	bool passes = addresses_pass(parts, &event.flow);
	if (!sk)
		return 0;
	event.flow.via = via_of(skb, sk);
	if (seen_by_sendmsg(sk, event.flow.via)) {
#ifdef SENDMSG_HOOKED
		if (passes)
			keep_source(sk, &event.flow);
#endif
		return 0;
	}
	COUNT(datagrams);
	if (corked_and_reported(sk, event.flow.via) || !passes)
		return 0;
	awaiting_neighbour.update(&key, &socket);
	report(&event, skb, sk, known_cookie(sk), false, parts);
	return 0;
}
