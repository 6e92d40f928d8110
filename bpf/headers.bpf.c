/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parses a packet's bytes into addresses, ports, protocol and length. It uses no maps, so that
 * tests/headers.c can compile it for the host and feed it packets.
 */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_EXTENSIONS 4	/* at most so many are searched for the UDP header */

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

/*
 * Sets ports and payload length from the first 6 bytes of a UDP or UDP-Lite header.
 * UDP-Lite has its checksum's coverage where UDP has its length, so its length is
 * the one below IP.
 */
static inline void set_udp(struct event *event, u8 proto, const u16 *udp, u16 below_ip)
{
	event->flow.proto = proto;
	event->flow.sport = bpf_ntohs(udp[0]);
	event->flow.dport = bpf_ntohs(udp[1]);
	event->bytes = (u16)((proto == IPPROTO_UDP ? bpf_ntohs(udp[2]) : below_ip) - 8);
}

static inline bool is_udp(u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* Is this a UDP datagram, or the first fragment of one? If so, fills *event from its headers. */
static inline bool parse_ipv4(struct event *event, u8 *at)
{
	struct ipv4_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (!is_udp(ip.protocol))
		return false;
	if (ip.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return false;
	u32 header = 4 * (ip.version_ihl & 15);
	if (header > 20)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), at + header);
	set_ipv4(event->flow.saddr, ip.saddr);
	set_ipv4(event->flow.daddr, ip.daddr);
	set_udp(event, ip.protocol, ip.udp, bpf_ntohs(ip.length) - header);
	return true;
}

/*
 * Steps over the extension headers that a sender may have put before UDP (RFC 8200).
 * Returns how far the UDP header is from the end of the IPv6 header, with its protocol
 * in *next; or -1.
 */
static inline int find_udp(u8 *next, u8 *at)
{
	u8 header[4];
	int skipped = 0;

#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (is_udp(*next))
			return skipped;
		bool fragment = *next == 44;
		if (!fragment && *next != 0 && *next != 43 && *next != 60)
			return -1;
		bpf_probe_read_kernel(header, sizeof(header), at + skipped);
		if (fragment && (header[2] || header[3] & 0xf8))
			return -1;	/* not the first fragment */
		*next = header[0];
		skipped += fragment ? 8 : 8 * (header[1] + 1);
	}
	return -1;
}

static inline bool parse_ipv6(struct event *event, u8 *at)
{
	struct ipv6_udp ip;

	bpf_probe_read_kernel(&ip, sizeof(ip), at);
	if (ip.next_header == IPPROTO_TCP)
		return false;
	int skipped = find_udp(&ip.next_header, at + 40);
	if (skipped < 0)
		return false;
	if (skipped)
		bpf_probe_read_kernel(ip.udp, sizeof(ip.udp), at + 40 + skipped);
	__builtin_memcpy(event->flow.saddr, ip.saddr, 16);
	__builtin_memcpy(event->flow.daddr, ip.daddr, 16);
	set_udp(event, ip.next_header, ip.udp, bpf_ntohs(ip.payload_length) - skipped);
	return true;
}

/* Is the packet AT this place, of this Ethernet type (network order), a UDP datagram, or the first
 * fragment of one? If so, fills *event from its headers. */
static inline bool parse_packet(struct event *event, u16 protocol, u8 *at)
{
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(event, at);
	return protocol == bpf_htons(ETH_P_IPV6) && parse_ipv6(event, at);
}
