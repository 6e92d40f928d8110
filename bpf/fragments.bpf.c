/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A datagram in fragments: its event is kept from the first fragment to the last one, if its header
 * does not say how long it is, or if a process may send later fragments without a first one. The
 * kernel sends them one after the other; if it gives up, the tracer reports what has come, without
 * a result.
 */

struct fragmented {
	u64 sender;		/* struct sock, or struct net_device without one */
	u64 id;
};
BPF_HASH(fragments, struct fragmented, struct event, 1024);

static inline struct fragmented fragmented_of(struct sk_buff *skb, const struct part *part)
{
	u64 sk = (u64)READ(skb, sk);
	struct fragmented key = { sk ? sk : (u64)skb->dev, part->id };

	return key;
}

/* May a process have made this packet itself, and with it a fragment? */
static inline bool is_made_by_process(u8 via)
{
	return via == VIA_PACKET || via == VIA_RAW || via == VIA_DEVICE;
}

/* Reports a datagram of which this packet is the whole or the first fragment. */
static inline void emit_part(u32 parts, struct event *event, struct sk_buff *skb,
			     const struct part *part)
{
	bool kept = !has_length(event->flow.proto) || is_made_by_process(event->flow.via);

	if (part->more && kept && !(parts & FILTER_FAILED)) {
		struct fragmented key = fragmented_of(skb, part);

		event->time = bpf_ktime_get_boot_ns();
		event->error = ERROR_NOT_OBSERVED;
		if (!fragments.insert(&key, event))
			return;
	}
	emit(parts, event);
}

/* Adds a later fragment to its datagram, and reports that with its last one. Returns false if the
 * datagram is not kept. */
static inline bool add_fragment(struct sk_buff *skb, u64 bytes, const struct part *part)
{
	struct fragmented key = fragmented_of(skb, part);
	struct event *event = fragments.lookup(&key);

	if (!event)
		return false;
	if (!has_length(event->flow.proto))
		event->bytes += bytes;
	if (!part->more) {
		event->error = 0;
		emit(active_filter_parts(), event);
		fragments.delete(&key);
	}
	return true;
}
