/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A datagram whose neighbour is not resolved yet waits for that and may never reach a device, so
 * it is reported when it begins to wait, in its sender's context.
 */

/* Datagrams reported while they waited for their neighbour: sk_buff to struct sock. A datagram
 * that is dropped meanwhile leaves its entry behind. */
BPF_TABLE("lru_hash", u64, u64, awaiting_neighbour, 4096);

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

	if (!(u32)ctx[1] || (void *)skb == (void *)&neigh->arp_queue_next)
		return 0;	/* nothing waits: it was sent, or dropped */
	if (!parse(&event, skb) || !in_task(ctx))
		return 0;
	u32 parts = active_filter_parts();
	bool passes = addresses_pass(parts, &event.flow);
	if (!sk)
		return 0;
	event.flow.via = via_of(skb, sk);
	if (probe_reports(sk, event.flow.via)) {
		if (passes)
			keep_source(sk, &event.flow);
		return 0;
	}
	COUNT(datagrams);
	if (corked_and_reported(sk, event.flow.via) || !passes)
		return 0;
	awaiting_neighbour.update(&key, &socket);
	report(&event, skb, sk, known_cookie(sk), false, parts);
	return 0;
}
