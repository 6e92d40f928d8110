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
#define UDP_HEADER 8

/* Makes the verifier forget what it knows of a variable, so that it takes all ways to that value
 * (those through a loop, too) for one: as many as there are, they would be too much for it. */
#define FORGET(variable) bpf_probe_read_kernel(&(variable), sizeof(variable), &(variable))

/* Where a packet's IP header is, and how much of it is there. */
struct packet {
	u8 *at;
	u32 linear;		/* bytes from there that can be read; the rest is in fragments */
	u32 length;		/* all bytes from there */
	u16 protocol;		/* Ethernet type, network order */
};

/* A packet may be a fragment of a datagram. */
struct part {
	u32 id;			/* of the datagram, as the header has it */
	bool more;		/* others follow */
};

enum parsed {
	NOT_UDP,		/* or a later fragment of a datagram */
	PARSED,
	CONTINUED,		/* a later fragment of a datagram whose header has no length */
	UNREAD,			/* it has headers that cannot be read */
};

struct ipv4_udp {		/* an IPv4 header without options and what follows it */
	u8 version_ihl, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 saddr, daddr;
	u16 udp[3];
};

struct ipv6_udp {
	u32 version_class_label;
	u16 payload_length;
	u8 next_header, hop_limit;
	u8 saddr[16], daddr[16];
	u16 udp[3];
};

/* Is there enough of a packet for headers of SIZE bytes? */
static inline enum parsed has(const struct packet *packet, u32 size)
{
	if (packet->linear >= size)
		return PARSED;
	return packet->length < size ? NOT_UDP : UNREAD;
}

/* A length field is what a sender says: returns it if the packet can have it, else what is there.
 * SMALLEST are the headers that it includes. */
static inline u32 believable(u32 said, u32 smallest, u32 there)
{
	return said < smallest || said > there ? there : said;
}

/*
 * Sets ports and payload length from the first 6 bytes of a UDP or UDP-Lite header. UDP-Lite has
 * its checksum's coverage where UDP has its length, so its length is the one below IP. In a first
 * fragment, UDP's length is that of all fragments.
 */
static inline void set_udp(struct event *event, u8 proto, const u16 *udp, u32 below_ip,
			   const struct part *part)
{
	u32 length = below_ip;

	if (proto == IPPROTO_UDP)
		length = believable(bpf_ntohs(udp[2]), UDP_HEADER, part->more ? 0xffff : below_ip);
	event->flow.proto = proto;
	event->flow.sport = bpf_ntohs(udp[0]);
	event->flow.dport = bpf_ntohs(udp[1]);
	event->bytes = length - UDP_HEADER;
}

static inline bool is_udp(u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

static inline bool is_extension(u8 header)
{
	return header == 0 || header == IPV6_ROUTING || header == IPV6_FRAGMENT || header == 60;
}

/* Does the datagram say how long it is? UDP-Lite does not; in IPv6, nor do the extension headers that
 * may come before it in the first fragment. */
static inline bool has_length(u8 protocol)
{
	return protocol != IPPROTO_UDPLITE && !is_extension(protocol);
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

/* Fills *event if this is a UDP datagram, or the first fragment of one. Of a later fragment of
 * UDP-Lite, sets only where it goes, and its bytes. */
static inline enum parsed parse_ipv4(struct event *event, const struct packet *packet,
				     struct part *part)
{
	struct flow *flow = &event->flow;
	enum parsed enough = has(packet, IPV4_HEADER);
	struct ipv4_udp ip;

	if (enough != PARSED)
		return enough;
	bpf_probe_read_kernel(&ip, sizeof(ip), packet->at);
	if (!is_udp(ip.protocol))
		return NOT_UDP;
	u32 header = 4 * (ip.version_ihl & 15);
	bool later = ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET);
	if (ip.version_ihl >> 4 != 4 || header < IPV4_HEADER || (later && has_length(ip.protocol)))
		return NOT_UDP;
	u32 smallest = header + (later ? 0 : UDP_HEADER);
	u32 length = believable(bpf_ntohs(ip.length), smallest, packet->length);
	part->id = ip.id;
	part->more = ip.fragment & bpf_htons(IPV4_MORE_FRAGMENTS);
	set_ipv4(flow->daddr, ip.daddr);
	if (later) {
		event->bytes = length - header;
		return CONTINUED;
	}
	enough = has(packet, header + UDP_HEADER);
	if (enough != PARSED)
		return enough;
	set_ipv4(flow->saddr, ip.saddr);
	if (header > IPV4_HEADER) {
		u32 end = end_of_source_route(packet->at + IPV4_HEADER, header - IPV4_HEADER);

		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), packet->at + header);
		if (end) {
			set_ipv4(flow->hop, ip.daddr);
			set_ipv4(flow->daddr, end);
		}
	}
	set_udp(event, ip.protocol, ip.udp, length - header, part);
	return PARSED;
}

/* What follows the IPv6 header. */
struct extensions {
	u32 size;		/* of all extension headers */
	u32 route;		/* where a routing header with a way to go is; 0: there is none */
	u8 protocol;		/* of what follows them */
};

/* Steps over the extension headers (RFC 8200) that a sender may have put before UDP. */
static inline enum parsed skip_extensions(struct extensions *found, const struct packet *packet,
					  struct part *part)
{
	u8 header[8];

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < IPV6_EXTENSIONS; i++) {
		FORGET(*found);
		u8 kind = found->protocol;

		if (!is_extension(kind))
			return is_udp(kind) ? PARSED : NOT_UDP;
		enum parsed enough = has(packet, IPV6_HEADER + found->size + 8);
		if (enough != PARSED)
			return enough;
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
			return has_length(found->protocol) ? NOT_UDP : CONTINUED;
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
	struct ipv6_udp ip;

	if (enough != PARSED)
		return enough;
	bpf_probe_read_kernel(&ip, sizeof(ip), packet->at);
	if (ip.next_header == IPPROTO_TCP || *(u8 *)&ip >> 4 != 6)
		return NOT_UDP;
	found.protocol = ip.next_header;
	enough = skip_extensions(&found, packet, part);
	__builtin_memcpy(flow->daddr, ip.daddr, 16);
	if (enough == CONTINUED)
		event->bytes = believable(bpf_ntohs(ip.payload_length), found.size,
					  packet->length - IPV6_HEADER) - found.size;
	if (enough == PARSED)
		enough = has(packet, IPV6_HEADER + found.size + UDP_HEADER);
	if (enough != PARSED)
		return enough;
	__builtin_memcpy(flow->saddr, ip.saddr, 16);
	if (found.size)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp),
				      packet->at + IPV6_HEADER + found.size);
	if (found.route)
		follow_route(flow, packet->at + found.route);
	u32 length = believable(bpf_ntohs(ip.payload_length), found.size + UDP_HEADER,
				packet->length - IPV6_HEADER);
	set_udp(event, found.protocol, ip.udp, length - found.size, part);
	return PARSED;
}

static inline enum parsed parse_packet(struct event *event, const struct packet *packet,
				       struct part *part)
{
	enum parsed parsed = NOT_UDP;

	if (packet->protocol == bpf_htons(ETH_P_IP))
		parsed = parse_ipv4(event, packet, part);
	else if (packet->protocol == bpf_htons(ETH_P_IPV6))
		parsed = parse_ipv6(event, packet, part);
	if (parsed == NOT_UDP)
		return NOT_UDP;
	FORGET(parsed);
	FORGET(*part);
	FORGET(*event);
	return parsed;
}
