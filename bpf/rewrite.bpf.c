/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook functions: a program of a cgroup (BPF_PROG_TYPE_CGROUP_SOCK_ADDR) may
 * replace the address that connect() or sendmsg() was given, before they look at it (pre_connect() of
 * struct proto, udp_sendmsg()). Such programs run in __cgroup_bpf_run_filter_sock_addr(), which is
 * called only where some cgroup has one. What it was given and what it has left are kept until the
 * call ends; for a UDP or ping socket that connects, as long as it is connected.
 */

/* A call that a program looks at, or a connected socket. The address of a struct sock is soon used
 * again, an inode's number only after all others (get_next_ino()). */
struct rewriting_call {
	u64 thread;		/* 0: a connected socket */
	u64 inode;		/* of the socket */
};

struct rewriting {
	struct rewriting_call call;
	void *address;		/* the sockaddr, which programs change in its place */
	u64 named[2];
	u64 named_port;
};
/* Whose programs run at this moment, by thread. */
BPF_TABLE("lru_hash", u64, struct rewriting, rewriting, 1024);

struct rewritten {
	u64 named[2];		/* the destination as the process has named it */
	u64 made[2];		/* and as programs have left it; both are 16 bytes, as in event.h */
	u16 named_port, made_port;
	u32 pad;
};
BPF_TABLE("lru_hash", struct rewriting_call, struct rewritten, rewritten, 16384);

/* Else nothing is looked up. */
BPF_ARRAY(any_rewritten, u32, 1);

static inline bool is_any_rewritten(void)
{
	u32 zero = 0;
	u32 *any = any_rewritten.lookup(&zero);

	return any && *any;
}

static inline u64 inode_of(struct sock *sk)
{
	return READ(READ(READ(READ(sk, sk_socket), file), inode), i_ino);
}

static inline bool is_connect(u32 type)
{
	return type == CGROUP_INET4_CONNECT || type == CGROUP_INET6_CONNECT;
}

static inline bool is_sendmsg(u32 type)
{
	return type == CGROUP_UDP4_SENDMSG || type == CGROUP_UDP6_SENDMSG;
}

/* At the entry of __cgroup_bpf_run_filter_sock_addr(). TYPE is what the program is for: enum
 * cgroup_bpf_attach_type, include/linux/bpf-cgroup-defs.h; in Linux 5.10, enum bpf_attach_type. */
static inline void rewriting_begins(struct sock *sk, void *address, u32 type)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct rewriting begun = { .address = address };
	struct sockaddr_any any = {};

	bpf_probe_read_kernel(&any, sizeof(any), address);
	if (!(is_connect(type) || is_sendmsg(type)) || !set_addr((u8 *)begun.named, &any)) {
		rewriting.delete(&thread);	/* left where the return was missed */
		return;
	}
	bool lasts = is_connect(type) && READ(sk, sk_protocol) != IPPROTO_TCP;
	begun.call.thread = lasts ? 0 : thread;
	begun.call.inode = inode_of(sk);
	begun.named_port = bpf_ntohs(any.port);
	rewriting.update(&thread, &begun);
}

/* Keeps what was made of a destination, or forgets what was made of an earlier one. */
static inline void keep_rewritten(const struct rewriting *begun, const struct rewritten *found)
{
	struct rewriting_call call = begun->call;
	u32 zero = 0, yes = 1;

	if (!same_addr((u8 *)found->named, (u8 *)found->made) ||
	    found->named_port != found->made_port) {
		rewritten.update(&call, (struct rewritten *)found);
		any_rewritten.update(&zero, &yes);
	} else if (is_any_rewritten()) {
		rewritten.delete(&call);
	}
}

/* At its return. */
static inline void rewriting_ends(void)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct rewriting *begun = rewriting.lookup(&thread);
	struct sockaddr_any any = {};
	struct rewritten found = {};

	if (!begun)
		return;
	bpf_probe_read_kernel(&any, sizeof(any), begun->address);
	__builtin_memcpy(found.named, begun->named, sizeof(found.named));
	found.named_port = begun->named_port;
	found.made_port = bpf_ntohs(any.port);
	if (set_addr((u8 *)found.made, &any))
		keep_rewritten(begun, &found);
	rewriting.delete(&thread);
}

/* Sets the destination as the process has named it, if the flow has what was made of that. What NAT
 * made of it then is known already. */
static inline void name_destination(struct flow *flow, const struct rewritten *found)
{
	if (!same_addr(flow->daddr, (u8 *)found->made) ||
	    (flow->dport && flow->dport != found->made_port))
		return;
	if (!(flow->nat & NAT_DST)) {
		if (!no_addr(flow->hop))
			return;		/* a source route */
		__builtin_memcpy(flow->hop, found->made, 16);
		flow->nat_dport = flow->dport;
		flow->nat |= NAT_DST;
	}
	__builtin_memcpy(flow->daddr, found->named, 16);
	if (flow->dport)
		flow->dport = found->named_port;
}

/* Names the destination of what this thread sends or connects; THREAD is 0 for what a connected
 * socket sends. */
static inline void undo_rewriting_of_call(struct flow *flow, struct sock *sk, u64 thread)
{
	if (!is_any_rewritten())
		return;
	struct rewriting_call call = { thread, inode_of(sk) };
	struct rewritten *found = rewritten.lookup(&call);
	if (found)
		name_destination(flow, found);
}

static inline void undo_rewriting_of_connection(struct flow *flow, struct sock *sk)
{
	undo_rewriting_of_call(flow, sk, bpf_get_current_pid_tgid());
}

/* For a packet that no hook on a call reports. Whether its call had an address of its own is not known
 * here. */
static inline void undo_rewriting_of_packet(struct flow *flow, struct sock *sk)
{
	struct rewriting_call call = { bpf_get_current_pid_tgid(), inode_of(sk) };
	struct rewritten *found = rewritten.lookup(&call);
	if (!found) {
		call.thread = 0;
		found = rewritten.lookup(&call);
	}
	if (found)
		name_destination(flow, found);
}

static inline bool passes_as_named(struct flow *flow, struct sock *sk, u32 parts, bool passes)
{
	if (!is_any_rewritten())
		return passes;
	undo_rewriting_of_packet(flow, sk);
	FORGET(*flow);		/* as in fill_datagram() */
	return addresses_pass(parts, flow);
}

/* The current thread's call for this socket has ended. */
static inline void forget_rewriting(struct sock *sk)
{
	if (!is_any_rewritten())
		return;
	struct rewriting_call call = { bpf_get_current_pid_tgid(), inode_of(sk) };
	rewritten.delete(&call);
}

/* The same of a call that sends; one that leaves its data with the socket goes on with the next. */
static inline void forget_rewriting_of_send(struct sock *sk)
{
	if (!READ((struct udp_sock *)sk, pending))
		forget_rewriting(sk);
}
