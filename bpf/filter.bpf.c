/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decides whether an event matches. An entry's value in a prefix map is the verdict for what lies
 * below it; tracer/filter/maps.py has joined includes and excludes in it. No entry means no.
 */

static inline u32 active_filter_parts(void)
{
	u32 zero = 0;
	u32 *parts = filter_parts.lookup(&zero);

	return parts ? *parts : 0;
}

static inline struct prefix prefix_of(const u8 *addr)
{
	struct prefix key = { .length = 128 };

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return key;
}

static inline enum verdict verdict_of(const u32 *entry)
{
	return entry ? *entry : NOT_INCLUDED;
}

static inline bool has_bit(const u64 *word, u16 number)
{
	return word && (*word >> (number & 63) & 1);
}

/* One function for each map, because BCC must read the map's name where it is used. */
static inline enum verdict dst_verdict(const u8 *addr)
{
	struct prefix key = prefix_of(addr);

	return no_addr(addr) ? NOT_INCLUDED : verdict_of(dst_prefixes.lookup(&key));
}

/* Of a source route, the end or the next stop must be included, and none excluded. So it is with
 * NAT: an address, and a port, passes as the sender has named it, or as the packet has it. */
static inline bool dst_passes(const struct flow *flow)
{
	enum verdict end = dst_verdict(flow->daddr), hop = dst_verdict(flow->hop);

	if (end == EXCLUDED || hop == EXCLUDED)
		return false;
	return end == INCLUDED || hop == INCLUDED;
}

static inline bool src_addr_passes(const u8 *addr)
{
	struct prefix key = prefix_of(addr);

	return !no_addr(addr) && verdict_of(src_prefixes.lookup(&key)) == INCLUDED;
}

static inline bool src_passes(const struct flow *flow)
{
	return src_addr_passes(flow->saddr) || src_addr_passes(flow->nat_saddr);
}

static inline bool dport_passes(u16 port)
{
	u32 word = port >> 6;

	return has_bit(dports.lookup(&word), port);
}

static inline bool sport_passes(u16 port)
{
	u32 word = port >> 6;

	return has_bit(sports.lookup(&word), port);
}

static inline bool proto_passes(u8 protocol)
{
	u32 word = protocol >> 6;

	return has_bit(protos.lookup(&word), protocol);
}

static inline bool comm_passes(const struct flow *flow)
{
	struct comm key;

	__builtin_memcpy(key.name, flow->comm, sizeof(key.name));
	return comms.lookup(&key) != 0;
}

static inline bool ports_pass(u32 parts, const struct flow *flow)
{
	bool to = !(parts & FILTER_DPORT) || dport_passes(flow->dport) ||
		  (flow->nat & NAT_DST && dport_passes(flow->nat_dport));
	bool from = !(parts & FILTER_SPORT) || sport_passes(flow->sport) ||
		    (flow->nat & NAT_SRC && sport_passes(flow->nat_sport));

	return parts & FILTER_EITHER_PORT ? to || from : to && from;
}

/* The parts that can be decided before the source port is known. */
static inline u32 without_sport(u32 parts)
{
	if (parts & FILTER_EITHER_PORT)
		return parts & ~(FILTER_EITHER_PORT | FILTER_DPORT | FILTER_SPORT);
	return parts & ~FILTER_SPORT;
}

/* Decides the part of the filter that needs only the packet's headers. */
static inline bool addresses_pass(u32 parts, const struct flow *flow)
{
	if (!parts)
		return true;
	if (parts & FILTER_PROTO && !proto_passes(flow->proto))
		return false;
	if (parts & FILTER_DST && !dst_passes(flow))
		return false;
	if (parts & FILTER_SRC && !src_passes(flow))
		return false;
	if (!ports_pass(parts, flow))
		return false;
	return !(parts & (is_ipv4(flow->daddr) ? FILTER_NO_IPV4 : FILTER_NO_IPV6));
}

static inline bool process_passes(u32 parts, const struct flow *flow)
{
	if (!parts)
		return true;
	if (parts & FILTER_PID && !pids.lookup((u32 *)&flow->pid))
		return false;
	if (parts & FILTER_UID && !(flow->pid && uids.lookup((u32 *)&flow->uid)))
		return false;
	if (parts & FILTER_NETNS && !netnses.lookup((u32 *)&flow->netns))
		return false;
	return !(parts & FILTER_COMM) || (flow->pid && comm_passes(flow));
}
