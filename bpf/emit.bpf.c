/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes events into the ring; if that has no room, aggregates them by flow.
 */

static inline void add_to(struct aggregate *sum, struct event *event)
{
	__sync_fetch_and_add(&sum->events, 1);
	__sync_fetch_and_add(&sum->bytes, event->bytes);
	__sync_fetch_and_add(&sum->received, event->received);
	sum->elapsed = event->elapsed;
	if (event->time < sum->first)	/* another CPU was faster */
		sum->first = event->time;
	if (event->time > sum->last)
		sum->last = event->time;
	sum->segments = event->segments;
	sum->error = event->error;
}

/* Returns the entry of the event's flow in the active map, and makes it if there is none. The
 * second lookup also finds one that another CPU has made meanwhile. Each call stands twice,
 * because BCC must read the map's own name in it. */
static inline struct aggregate *sum_of(struct event *event)
{
	u32 zero = 0;
	u32 *active = active_overflow.lookup(&zero);
	bool second = active && *active;
	struct flow *flow = &event->flow;
	struct aggregate none = { .first = event->time };
	struct aggregate *sum = second ? overflow_1.lookup(flow) : overflow_0.lookup(flow);

	if (sum)
		return sum;
	if (second)
		overflow_1.insert(flow, &none);
	else
		overflow_0.insert(flow, &none);
	return second ? overflow_1.lookup(flow) : overflow_0.lookup(flow);
}

static inline void aggregate(struct event *event)
{
	struct aggregate *sum = sum_of(event);

	if (!sum) {
		COUNT(lost);
		return;
	}
	add_to(sum, event);
	COUNT(aggregated);
}

static inline void emit(u32 parts, struct event *event)
{
	if (parts & FILTER_FAILED && event->error <= 0 &&
	    event->flow.kind != EVENT_CONNECT_FAILED)
		return;
	COUNT(matched);
	if (!event->time)
		event->time = bpf_ktime_get_boot_ns();
	if (parts & FILTER_SUMMARY || events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP))
		aggregate(event);
}
