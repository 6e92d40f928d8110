/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Adds what sockets receive to its flow. Its maps are its own: a sender on another machine may fill
 * them, by its ports, and must not take the room of what is sent from here.
 */

/* Two, as of what is sent (maps.bpf.c). */
BPF_HASH(received_0, struct flow, struct aggregate, OVERFLOW_ENTRIES);
BPF_HASH(received_1, struct flow, struct aggregate, OVERFLOW_ENTRIES);
BPF_ARRAY(active_received, u32, 1);

/* Returns the entry of the event's flow; see sum_of(). */
static inline struct aggregate *sum_received(struct event *event)
{
	u32 zero = 0;
	u32 *active = active_received.lookup(&zero);
	bool second = active && *active;
	struct flow *flow = &event->flow;
	struct aggregate none = { .first = event->time };
	struct aggregate *sum = second ? received_1.lookup(flow) : received_0.lookup(flow);

	if (sum)
		return sum;
	if (second)
		received_1.insert(flow, &none);
	else
		received_0.insert(flow, &none);
	return second ? received_1.lookup(flow) : received_0.lookup(flow);
}

static inline void add_received(struct event *event)
{
	struct aggregate *sum = sum_received(event);

	if (!sum) {
		COUNT(received_lost);
		return;
	}
	add_to(sum, event);
	COUNT(received);
}
