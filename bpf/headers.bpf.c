/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parses a packet's bytes into addresses, ports, protocol and length. It uses no maps, so that
 * tests/headers.c can compile it for the host and feed it packets.
 */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPV4_HEADER 20		/* bytes, without options */
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_END 0		/* options, RFC 791 */
#define IPV4_NOP 1
#define IPV4_LOOSE_ROUTE 131
#define IPV4_STRICT_ROUTE 137
#define IPV4_OPTIONS 40		/* there cannot be more: 40 bytes */
#define IPV6_HEADER 40
#define IPV6_EXTENSIONS 16	/* a packet with more of them counts as unread */
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44

/* Makes the verifier forget what it knows of a variable, so that it takes all ways to that value
 * (those through a loop, too) for one: as many as there are, they would be too much for it. */
#define FORGET(variable) bpf_probe_read_kernel(&(variable), sizeof(variable), &(variable))

/* Where a packet's IP header is, and how much of it is there. */
struct packet {
	u8 *at;
	u32 linear;		/* bytes from there that can be read; the rest is in fragments */
	u32 length;		/* all bytes from there */
	u16 protocol;		/* Ethernet type, network order */
	bool of_tcp_socket;	/* it is part of a connection, which other hooks report */
};

/* A packet may be a fragment of a datagram. */
struct part {
	u32 id;			/* of the datagram, as the header has it */
	bool more;		/* others follow */
	u8 parsed;		/* enum parsed, which the verifier forgets with the rest */
};

enum parsed {
	NOTHING,		/* no IP, or a connection's, which other hooks report */
	PARSED,
	CONTINUED,		/* a later fragment of a datagram */
	UNREAD,			/* it has headers that cannot be read */
};

union transport {		/* the start of what is below IP: as much as is read of it */
	u16 words[8];		/* ports: the first two; UDP: its length is the third */
	u8 bytes[16];
};

struct ipv4_packet {		/* an IPv4 header without options and what follows it */
	u8 version_ihl, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 saddr, daddr;
	union transport below;
};

struct ipv6_packet {
	u32 version_class_label;
	u16 payload_length;
	u8 next_header, hop_limit;
	u8 saddr[16], daddr[16];
	union transport below;
};

/* Is there enough of a packet for headers of SIZE bytes? */
static inline enum parsed has(const struct packet *packet, u32 size)
{
	if (packet->linear >= size)
		return PARSED;
	return packet->length < size ? NOTHING : UNREAD;
}

/* A length field is what a sender says: returns it if the packet can have it, else what is there.
 * SMALLEST are the headers that it includes. */
static inline u32 believable(u32 said, u32 smallest, u32 there)
{
	return said < smallest || said > there ? there : said;
}

static inline bool is_udp(u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

static inline bool is_icmp(u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* Does this protocol wrap what a socket sends by another one? */
static inline bool is_ipsec(u8 protocol)
{
	return protocol == IPPROTO_ESP || protocol == IPPROTO_AH || protocol == IPPROTO_COMP;
}

/* Returns the size of a protocol's header, without options; 0: the protocol is not known here. */
static inline u32 header_size(u8 protocol)
{
	if (is_udp(protocol) || is_icmp(protocol))
		return 8;
	if (protocol == IPPROTO_TCP)
		return 20;
	return protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP ? 12 : 0;
}

/* Returns how much of a header of SIZE bytes behind START is there: all or, where the packet is
 * cut off, nothing. */
static inline u32 whole_header(const struct packet *packet, u32 start, u32 size)
{
	return packet->length < start + size ? 0 : size;
}

/* Returns the size that a header with options says it has; it is between SMALLEST and THERE. */
static inline u32 with_options(u32 words, u32 smallest, u32 there)
{
	u32 said = 4 * words;

	return said < smallest ? smallest : said > there ? there : said;
}

/*
 * Sets what a protocol's header says, and the payload's length. SIZE is the header's without
 * options; 0: there is none that is known, and the payload is what is below IP. UDP-Lite has its
 * checksum's coverage where UDP has its length, so its length is the one below IP. In a first
 * fragment, UDP's length is that of all fragments.
 */
static inline void set_transport(struct event *event, u8 proto, const union transport *header,
				 u32 size, u32 below_ip, const struct part *part)
{
	struct flow *flow = &event->flow;

	flow->proto = proto;
	if (size && is_icmp(proto)) {
		flow->icmp_type = header->bytes[0];
		flow->icmp_code = header->bytes[1];
	} else if (size) {
		flow->sport = bpf_ntohs(header->words[0]);
		flow->dport = bpf_ntohs(header->words[1]);
	}
	if (size && proto == IPPROTO_UDP)
		below_ip = believable(bpf_ntohs(header->words[2]), size,
				      part->more ? 0xffff : below_ip);
	if (size && proto == IPPROTO_TCP)
		size = with_options(header->bytes[12] >> 4, size, below_ip);
	if (size && proto == IPPROTO_DCCP)
		size = with_options(header->bytes[4], size, below_ip);
	event->bytes = below_ip - size;
}

static inline bool is_extension(u8 header)
{
	return header == 0 || header == IPV6_ROUTING || header == IPV6_FRAGMENT || header == 60;
}

/* Does the datagram say how long it is? Only UDP does. */
static inline bool has_length(u8 protocol)
{
	return protocol == IPPROTO_UDP;
}

/*
 * Returns the last address of a source route (RFC 791, 3.1) among the options, which are SIZE
 * bytes; 0 if there is none that still has a way to go.
 */
static inline u32 end_of_source_route(u8 *options, u32 size)
{
	u32 offset = 0, end = 0;
	u8 option[3];		/* kind, length, pointer */

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < IPV4_OPTIONS; i++) {
		FORGET(offset);
		if (offset >= size)
			break;
		bpf_probe_read_kernel(option, sizeof(option), options + offset);
		if (option[0] == IPV4_NOP) {
			offset = (offset + 1) & 0xff;
			continue;
		}
		if (option[0] == IPV4_END || option[1] < 2 || offset + option[1] > size)
			break;
		if (option[0] == IPV4_LOOSE_ROUTE || option[0] == IPV4_STRICT_ROUTE) {
			if (option[1] >= 7 && option[2] + 3 <= option[1])
				bpf_probe_read_kernel(&end, sizeof(end),
						      options + offset + option[1] - 4);
			break;
		}
		offset = (offset + option[1]) & 0xff;
	}
	return end;
}

/* Do other hooks report a packet of this protocol, which comes from a TCP socket? */
static inline bool is_of_connection(const struct packet *packet, u8 protocol)
{
	return packet->of_tcp_socket && (protocol == IPPROTO_TCP || is_ipsec(protocol));
}

/* Fills *event if this is an IPv4 packet, or the first fragment of one. Of a later fragment, sets
 * only where it goes, and its bytes. */
static inline enum parsed parse_ipv4(struct event *event, const struct packet *packet,
				     struct part *part)
{
	struct flow *flow = &event->flow;
	enum parsed enough = has(packet, IPV4_HEADER);
	struct ipv4_packet ip;

	if (enough != PARSED)
		return enough;
	bpf_probe_read_kernel(&ip, sizeof(ip), packet->at);
	if (is_of_connection(packet, ip.protocol))
		return NOTHING;
	u32 header = 4 * (ip.version_ihl & 15);
	bool later = ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET);
	if (ip.version_ihl >> 4 != 4 || header < IPV4_HEADER)
		return NOTHING;
	u32 size = whole_header(packet, header, later ? 0 : header_size(ip.protocol));
	FORGET(size);
	enough = has(packet, header + size);
	if (enough != PARSED)
		return enough;
	u32 length = believable(bpf_ntohs(ip.length), header + size, packet->length);
	part->id = ip.id;
	part->more = ip.fragment & bpf_htons(IPV4_MORE_FRAGMENTS);
	set_ipv4(flow->daddr, ip.daddr);
	if (later) {
		flow->proto = ip.protocol;
		event->bytes = length - header;
		return CONTINUED;
	}
	set_ipv4(flow->saddr, ip.saddr);
	if (header > IPV4_HEADER) {
		u32 end = end_of_source_route(packet->at + IPV4_HEADER, header - IPV4_HEADER);

		bpf_probe_read_kernel(&ip.below, sizeof(ip.below), packet->at + header);
		if (end) {
			set_ipv4(flow->hop, ip.daddr);
			set_ipv4(flow->daddr, end);
		}
	}
	set_transport(event, ip.protocol, &ip.below, size, length - header, part);
	return PARSED;
}

/* What follows the IPv6 header. */
struct extensions {
	u32 size;		/* of all extension headers */
	u32 route;		/* where a routing header with a way to go is; 0: there is none */
	u8 protocol;		/* of what follows them */
};

/* Steps over the extension headers (RFC 8200). Where the packet is cut off in one, that is taken for
 * the protocol. */
static inline enum parsed skip_extensions(struct extensions *found, const struct packet *packet,
					  struct part *part)
{
	u8 header[8];

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < IPV6_EXTENSIONS; i++) {
		FORGET(*found);
		u8 kind = found->protocol;

		if (!is_extension(kind))
			return PARSED;
		enum parsed enough = has(packet, IPV6_HEADER + found->size + 8);
		if (enough != PARSED)
			return enough == NOTHING ? PARSED : enough;
		bpf_probe_read_kernel(header, sizeof(header),
				      packet->at + IPV6_HEADER + found->size);
		if (kind == IPV6_FRAGMENT) {
			part->id = *(u32 *)(header + 4);
			part->more = header[3] & 1;
		}
		if (kind == IPV6_ROUTING && header[3])
			found->route = IPV6_HEADER + found->size;
		found->protocol = header[0];
		found->size += kind == IPV6_FRAGMENT ? 8 : 8 * (header[1] + 1);
		if (kind == IPV6_FRAGMENT && (header[2] || header[3] & 0xf8))
			return CONTINUED;
	}
	return UNREAD;
}

/* Sets the destination to the end of a routing header's way. A header of type 4 (RFC 8754) has its
 * addresses in reverse order; of other types than these, the end is not known. */
static inline void follow_route(struct flow *flow, u8 *route)
{
	u8 header[4];		/* next header, length, type, segments left */

	bpf_probe_read_kernel(header, sizeof(header), route);
	u32 end = header[2] == 4 ? 8 : 8 * (header[1] + 1) - 16;
	if (header[1] < 2 || (header[2] != 0 && header[2] != 2 && header[2] != 4))
		return;
	__builtin_memcpy(flow->hop, flow->daddr, 16);
	bpf_probe_read_kernel(flow->daddr, 16, route + end);
}

/* As parse_ipv4(). */
static inline enum parsed parse_ipv6(struct event *event, const struct packet *packet,
				     struct part *part)
{
	struct flow *flow = &event->flow;
	struct extensions found = {};
	enum parsed enough = has(packet, IPV6_HEADER);
	struct ipv6_packet ip;

	if (enough != PARSED)
		return enough;
	bpf_probe_read_kernel(&ip, sizeof(ip), packet->at);
	if (is_of_connection(packet, ip.next_header) || *(u8 *)&ip >> 4 != 6)
		return NOTHING;
	found.protocol = ip.next_header;
	enough = skip_extensions(&found, packet, part);
	__builtin_memcpy(flow->daddr, ip.daddr, 16);
	u32 there = packet->length - IPV6_HEADER;
	if (found.size > there)
		found.size = there;	/* an extension header says so, but the packet ends before */
	flow->proto = found.protocol;
	if (enough == CONTINUED)
		event->bytes = believable(bpf_ntohs(ip.payload_length), found.size, there) - found.size;
	if (enough != PARSED)
		return enough;
	if (is_of_connection(packet, found.protocol))
		return NOTHING;
	u32 size = whole_header(packet, IPV6_HEADER + found.size, header_size(found.protocol));
	FORGET(size);
	enough = has(packet, IPV6_HEADER + found.size + size);
	if (enough != PARSED)
		return enough;
	__builtin_memcpy(flow->saddr, ip.saddr, 16);
	if (found.size)
		bpf_probe_read_kernel(&ip.below, sizeof(ip.below),
				      packet->at + IPV6_HEADER + found.size);
	if (found.route)
		follow_route(flow, packet->at + found.route);
	u32 length = believable(bpf_ntohs(ip.payload_length), found.size + size, there);
	set_transport(event, found.protocol, &ip.below, size, length - found.size, part);
	return PARSED;
}

static inline enum parsed parse_packet(struct event *event, const struct packet *packet,
				       struct part *part)
{
	enum parsed parsed = NOTHING;

	if (packet->protocol == bpf_htons(ETH_P_IP))
		parsed = parse_ipv4(event, packet, part);
	else if (packet->protocol == bpf_htons(ETH_P_IPV6))
		parsed = parse_ipv6(event, packet, part);
	if (parsed == NOTHING)
		return NOTHING;
	part->parsed = parsed;
	FORGET(*part);
	FORGET(*event);
	return part->parsed;
}
