/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A datagram whose neighbour is not resolved yet waits for that and may never reach a device, so
 * it is reported when it begins to wait, in its sender's context.
 */

#define NUD_VALID 0xde	/* include/net/neighbour.h */

/* Datagrams reported while they waited for their neighbour: sk_buff to struct sock. A datagram
 * that is dropped meanwhile leaves its entry behind. */
BPF_TABLE("lru_hash", u64, u64, awaiting_neighbour, 4096);

/* The threads that set a neighbour's address: its queue is sent in their context. */
BPF_TABLE("lru_hash", u64, u8, flushing, 1024);

/* Is the current thread setting a neighbour's address? Then what it sends are other tasks' waiting
 * datagrams. */
static inline bool flushes_a_neighbour(void)
{
	u64 thread = bpf_get_current_pid_tgid();

	return flushing.lookup(&thread);
}

/* Does the current process itself send this, and not what waited for a neighbour? */
static inline bool is_at_once(void *ctx)
{
	return in_task(ctx) && !flushes_a_neighbour();
}

/* The same of a packet that may have waited in a queue of netfilter's, too. */
static inline bool is_own(void *ctx, struct sk_buff *skb)
{
	return is_at_once(ctx) && !lets_go(skb);
}

/* __neigh_update() begins: from netlink, or because an answer was written into a tap. */
int neigh_update(u64 *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();
	u8 yes = 1;

	if (in_task(ctx))
		flushing.update(&thread, &yes);
	return 0;
}

int neigh_update_done(u64 *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();

	if (in_task(ctx))
		flushing.delete(&thread);
	return 0;
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

/* Threads whose neighbour answered before the hook on the waiting datagram: a softirq of theirs
 * has sent it, and it is reported. */
BPF_TABLE("lru_hash", u64, u8, answered_early, 1024);

static inline void remember_early_answer(void)
{
	u64 thread = bpf_get_current_pid_tgid();
	u8 yes = 1;

	answered_early.update(&thread, &yes);
}

static inline bool take_early_answer(void)
{
	u64 thread = bpf_get_current_pid_tgid();
	bool was = answered_early.lookup(&thread);

	if (was)
		answered_early.delete(&thread);
	return was;
}

/* Has the neighbour an address now? */
static inline bool is_resolved(struct neighbour *neigh)
{
	return READ(neigh, nud_state) & NUD_VALID;
}

/* Counts a datagram that was dropped as soon as it waited, because its neighbour was given up at
 * that moment on another CPU. Nothing is left of it to read. */
static inline void count_dropped(void *ctx, struct flow *flow)
{
	u32 parts = active_filter_parts();

	if (probe_sees_calls() || !in_task(ctx) || take_early_answer())
		return;
	fill_process(flow);
	flow->netns = flow->process_netns;
	if (process_passes(parts, flow))
		COUNT(unread);
}

/*
 * Runs after __neigh_event_send() has put a datagram in the queue of an unresolved neighbour. It
 * is the last one there, unless another task's came in between. Each call with a datagram puts
 * one there; an older one may have had the same sk_buff.
 */
int neigh_event_send_done(u64 *ctx)
{
	struct neighbour *neigh = (struct neighbour *)ctx[0];
	struct sk_buff *skb = neigh->arp_queue_prev;
	struct sock *sk = READ(skb, sk);
	struct event event = {};
	u64 key = (u64)skb, socket = (u64)sk;

	if (!(u32)ctx[1])
		return 0;	/* it was sent */
	if ((void *)skb == (void *)&neigh->arp_queue_next) {
		if (is_resolved(neigh))
			take_early_answer();	/* it was sent meanwhile */
		else
			count_dropped(ctx, &event.flow);
		return 0;
	}
	take_early_answer();	/* to an earlier datagram */
	struct packet packet = packet_of(skb);
	packet.of_tcp_socket = is_of_tcp_socket(skb);
	struct part part = {};
	enum parsed parsed = parse_packet(&event, &packet, &part);
	if (parsed == NOTHING && is_unknown_by_name(&event.flow, skb))
		connection_starts_late(&event, skb, known_cookie(sk));
	if (parsed == CONTINUED && !counted_above(skb, &event.flow) &&
	    add_fragment(skb, event.bytes, &part))
		awaiting_neighbour.update(&key, &socket);
	if (parsed != PARSED || !in_task(ctx))
		return 0;
	undo_nat(&event.flow, skb);
	u32 parts = active_filter_parts();
	bool passes = addresses_pass(parts, &event.flow);
	FORGET(passes);
	if (!sk || counted_above(skb, &event.flow))
		return 0;
	event.flow.via = via_of(skb, event.flow.proto);
	if (is_kernel_reply(skb, &event.flow))
		return 0;	/* counted if it is sent */
	if (probe_reports(ctx, skb, sk, event.flow.via)) {
		if (passes || is_any_rewritten())
			keep_packet(skb, sk, &event.flow);
		return 0;
	}
	COUNT(datagrams);
	remember_corked(sk, event.flow.via);
	if (!passes_as_named(&event.flow, sk, parts, passes))
		return 0;
	awaiting_neighbour.update(&key, &socket);
	set_sock_of_packet(&event.flow, skb);
	report(&event, skb, &part, sk, known_cookie(sk), false, parts);
	return 0;
}
