/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds out who sent a packet, and reports it.
 */

#define SOCK_STREAM 1
#define SOCK_RAW 3
#define TCP_TIME_WAIT 6		/* include/net/tcp_states.h */
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
#define DESCRIPTORS_AT_ONCE 8
#define SERVES_SOFTIRQ 0x100	/* SOFTIRQ_OFFSET, include/linux/preempt.h */

BPF_PERCPU_ARRAY(context_address, u64, 1);

/* Each probe defines these: tracepoint.bpf.c, or cork.bpf.c and its own file for those that hook
 * calls (rewrite.bpf.c has some). */
/* Do hooks on system calls report datagrams, too? */
static inline bool probe_sees_calls(void);
/* Does one of them report this datagram? */
static inline bool probe_reports(void *ctx, struct sk_buff *skb, struct sock *sk, u8 via);
/* Keeps what only its packet shows of a datagram for the hook that reports it. */
static inline void keep_packet(struct sk_buff *skb, struct sock *sk, struct flow *flow);
/* Has a program of a cgroup replaced any destination since the start? Then what does not match as a
 * packet may match as the process has named it. */
static inline bool is_any_rewritten(void);
/* Names the destination of a packet as the process has, where a program of a cgroup has replaced it.
 * Does it match? PASSES: as a packet. */
static inline bool passes_as_named(struct flow *flow, struct sock *sk, u32 parts, bool passes);
/* Names the destination of a connection of the current thread. */
static inline void undo_rewriting_of_connection(struct flow *flow, struct sock *sk);
/* Remembers a corked socket's packet for the hook on the call. */
static inline void remember_corked(struct sock *sk, u8 via);

/* Returns the registers that a task's system call, or an interrupt, began with. */
static inline struct pt_regs *registers_of(struct task_struct *task)
{
#ifdef HAVE_TASK_PT_REGS
	return (struct pt_regs *)bpf_task_pt_regs(task);
#else
	return (struct pt_regs *)((u64)READ(task, stack) + THREAD_SIZE) - 1;
#endif
}

/*
 * Is the current task in a system call of its own? On x86-64 an interrupt of user space
 * (and the softirq on its way out) runs on the task's stack, with -1 where a system call
 * has its number (idtentry_body, arch/x86/entry/entry_64.S). Where softirqs have no stack of their
 * own (arm64 before Linux 6.1), the task says that it serves one.
 */
static inline bool in_system_call(struct task_struct *task)
{
#ifdef bpf_target_x86
	return READ_TASK(task, flags) & PF_IO_WORKER ||
	       READ_TASK(registers_of(task), orig_ax) != -1ULL;
#elif defined(HAVE_TASK_STRUCT_PREEMPT_COUNT)
	return !(READ_TASK(task, preempt_count) & SERVES_SOFTIRQ);
#else
	return true;
#endif
}

/*
 * Does the current process itself do this? A kernel thread may send what a process left
 * behind (ksoftirqd, threaded NAPI). Any other interrupt runs on a stack of its own, and
 * the context of a tracepoint lies on the stack that is in use. Where softirqs share the
 * stack of a task in a system call (PREEMPT_RT), the answer is yes too often.
 */
static inline bool in_task(void *ctx)
{
	struct task_struct *task = CURRENT_TASK();
	u64 stack = (u64)READ_TASK(task, stack);
	u32 zero = 0;
	u64 *address = context_address.lookup(&zero);

	if (!address)
		return false;
	*(void *volatile *)address = ctx;
	return *(volatile u64 *)address - stack < THREAD_SIZE &&
	       !(READ_TASK(task, flags) & PF_KTHREAD) && in_system_call(task);
}

/* Returns the open file that the current system call has been given as its first argument; 0: none. */
static inline struct file *file_of_call(struct task_struct *task)
{
	struct fdtable *table = READ_TASK(READ_TASK(task, files), fdt);
	struct file **descriptors = READ_TASK(table, fd), *file = 0;
#if defined(bpf_target_x86)
	u64 descriptor = READ_TASK(registers_of(task), di);
#elif defined(bpf_target_arm64)
	u64 descriptor = READ_TASK(registers_of(task), regs[0]);
#else
	u64 descriptor = ~0ULL;		/* where that is, is not known here */
#endif

	if (descriptor < READ_TASK(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), descriptors + descriptor);
	return file;
}

/*
 * Does the current task let this packet go on from a queue of netfilter's? It does so by a call on
 * a netlink socket (nfqnl_recv_verdict()), by which no process sends packets of its own.
 */
static inline bool lets_go(struct sk_buff *skb)
{
	struct file *file = file_of_call(CURRENT_TASK());
	struct sock *sk = READ_ARGUMENT(skb, sk);

	if (!file || (sk && READ_ARGUMENT(READ_ARGUMENT(sk, sk_socket), file) == file))
		return false;	/* as most are: sent by a call on their own socket */
	struct socket *socket = READ(file, private_data);
	return READ(socket, file) == file && READ(READ(socket, sk), skc_family) == AF_NETLINK;
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
		asm volatile("" : "+r"(i));	/* else LLVM counts down, and the bound is lost */
		if (i >= count)
			return false;
		bpf_probe_read_kernel(some, sizeof(some), descriptors + i);
#pragma unroll
		for (int j = 0; j < DESCRIPTORS_AT_ONCE; j++) {
			/* Forces a branch for each. Otherwise LLVM 19 joins them into one over
			 * 16 booleans, and the verifier tries every combination. */
			asm volatile("" : "+r"(wanted));
			if (some[j] == wanted)
				return true;
		}
	}
	return false;
}

/* Is it a whole socket? Of a connection's request, and of one in TIME-WAIT, there is only struct
 * sock_common (sk_fullsock(), include/net/sock.h), and no process: the kernel answers for it. */
static inline bool is_full_socket(u8 state)
{
	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

/*
 * Is this packet part of a TCP socket's connection, and not a tunnel's, which wraps it? A socket that
 * listens has none: the kernel refuses by it (tcp_v4_send_reset()). This is asked of each packet, so
 * the socket is read by its type: helpers would take longer than all the rest.
 */
static inline bool is_of_tcp_socket(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (!sk)
		return false;
	u8 state = sk->skc_state;
	if (!is_full_socket(state) || state == TCP_LISTEN)
		return false;
	return sk->sk_protocol == IPPROTO_TCP && sk->sk_type == SOCK_STREAM &&
	       !skb->inner_network_header;
}

/*
 * Returns how a packet of this protocol was sent. A tunnel's packet still carries the socket of
 * what it wraps, but has inner headers (iptunnel_handle_offloads), or another protocol than the
 * socket's. Ports do not tell this: NAT has changed them by now.
 */
static inline u8 via_of(struct sk_buff *skb, u8 protocol)
{
	struct sock *sk = skb->sk;

	if (!sk)
		return VIA_KERNEL;
	struct socket *socket = sk->sk_socket;
	if (skb->inner_network_header || !is_full_socket(sk->skc_state))
		return VIA_KERNEL;
	if (socket && !socket->file)
		return VIA_KERNEL;	/* made by sock_create_kern() */
	if (sk->skc_family == AF_PACKET)
		return VIA_PACKET;
	if (sk->sk_type == SOCK_RAW)
		return VIA_RAW;
	if (protocol == IPPROTO_TCP)
		return VIA_KERNEL;	/* else it is part of a connection */
	return sk->sk_protocol == protocol || is_ipsec(protocol) ? VIA_SOCKET : VIA_KERNEL;
}

/* Does the kernel by itself send packets of this protocol that are no tunnel's: to refuse, to
 * acknowledge, to tell of errors and neighbours? */
static inline bool kernel_answers_by(u8 protocol)
{
	return protocol == IPPROTO_TCP || is_icmp(protocol) || protocol == IPPROTO_IGMP ||
	       protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP;
}

/* Has the kernel made this packet by itself, for no process? */
static inline bool is_kernel_reply(struct sk_buff *skb, const struct flow *flow)
{
	return flow->via == VIA_KERNEL && kernel_answers_by(flow->proto) &&
	       !skb->inner_network_header;
}

/* Counts a packet of which no header can be read, unless its process or namespace is left out. */
static inline void count_unread(struct event *event, struct sk_buff *skb, bool own, u32 parts)
{
	event->flow.netns = netns_of_packet(skb);
	if (own)
		fill_process(&event->flow);
	else
		parts &= FILTER_NETNS;	/* only that is known */
	if (process_passes(parts, &event->flow))
		COUNT(unread);
}

/* Counts a fragment without a first one, of which neither ports nor process are looked at: it may be
 * part of what matches. */
static inline void count_lone_fragment(struct event *event, struct sk_buff *skb)
{
	u32 parts = active_filter_parts();
	u32 known = parts & ~(FILTER_SRC | FILTER_SPORT | FILTER_DPORT | FILTER_EITHER_PORT);

	if (!(parts & FILTER_FAILED) && addresses_pass(known, &event->flow))
		count_unread(event, skb, false, parts);
}

static inline void count_kernel_reply(struct flow *flow, struct sk_buff *skb, u32 parts)
{
	flow->netns = netns_of_packet(skb);
	if (process_passes(parts, flow))
		COUNT(kernel_replies);
}

/* Do hooks on calls or on connections report what sockets send by this protocol? */
static inline bool other_hooks_report(u8 protocol)
{
	return protocol == IPPROTO_TCP || (probe_sees_calls() && is_udp(protocol));
}

static inline void fill_kernel_sender(struct flow *flow, struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;

	bpf_probe_read_kernel(flow->comm, sizeof(flow->comm), &dev->name);
}

/*
 * Reports one packet, or its first fragment, whose addresses have matched already. Its sender is the
 * current process: for certain if OWN, else if it holds the socket. The socket comes untyped (READ),
 * so that the verifier lets it be passed around.
 */
static inline void report(struct event *event, struct sk_buff *skb, const struct part *part,
			  struct sock *sk, u64 cookie, bool own, u32 parts)
{
	struct flow *flow = &event->flow;

	flow->kind = EVENT_SEND;
	flow->netns = netns_of_packet(skb);
	flow->iif = flow->via == VIA_DEVICE ? skb->skb_iif : 0;
	set_device_of_packet(flow, skb);
	FORGET(*flow);	/* the ways here differ in what is 0 */
	if (flow->via != VIA_KERNEL && (own || current_holds(sk)))
		fill_process(flow);
	if (flow->via == VIA_KERNEL)
		fill_kernel_sender(flow, skb);
	else
		flow->cookie = cookie;
	if (!process_passes(parts, flow))
		return;
	event->segments = segments_of(skb);
	emit_part(parts, event, skb, part);
}
