/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps that all probes share, and the counters.
 */

BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_PERCPU_ARRAY(counters, struct counters, 1);

/*
 * They take an event if the ring has no room, or a reservation fails for another reason. There
 * are two maps: the tracer makes the other one active, waits until no program can still be
 * writing to the first, and empties that.
 */
BPF_HASH(overflow_0, struct flow, struct aggregate, OVERFLOW_ENTRIES);
BPF_HASH(overflow_1, struct flow, struct aggregate, OVERFLOW_ENTRIES);
BPF_ARRAY(active_overflow, u32, 1);

/* The filter's entries, as tracer/filter/maps.py makes them. */
BPF_ARRAY(filter_parts, u32, 1);
BPF_LPM_TRIE(dst_prefixes, struct prefix, u32, FILTER_ENTRIES);
BPF_LPM_TRIE(src_prefixes, struct prefix, u32, FILTER_ENTRIES);
BPF_ARRAY(dports, u64, 1024);	/* a bit for each port */
BPF_ARRAY(sports, u64, 1024);
BPF_ARRAY(protos, u64, 4);	/* a bit for each protocol */
BPF_HASH(pids, u32, u32, FILTER_ENTRIES);
BPF_HASH(uids, u32, u32, FILTER_ENTRIES);
BPF_HASH(netnses, u32, u32, FILTER_ENTRIES);

struct comm {
	char name[COMM_LEN];
};
BPF_HASH(comms, struct comm, u32, FILTER_ENTRIES);

#ifdef PID_NAMESPACE
BPF_ARRAY(tracers_pids, struct tracers_pids, 1);
#endif

static inline struct counters *this_cpu_counters(void)
{
	u32 zero = 0;

	return counters.lookup(&zero);
}

/* Atomic, because two hooks may interrupt each other on one CPU. */
#define COUNT(field) ({								\
	struct counters *counters_ = this_cpu_counters();			\
	if (counters_)								\
		__sync_fetch_and_add(&counters_->field, 1);			\
})
