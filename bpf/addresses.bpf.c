/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, all zero if not known.
 */

struct sockaddr_any {		/* the start of sockaddr_in and sockaddr_in6 */
	u16 family, port;
	u32 ipv4;		/* sockaddr_in6: flow information */
	u8 ipv6[16];
	u32 scope_id;		/* sockaddr_in6 */
};

static inline void set_ipv4(u8 *addr, u32 ipv4)
{
	u32 *words = (u32 *)addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

/* Sets the address of a sockaddr; false if it holds none. */
static inline bool set_addr(u8 *addr, const struct sockaddr_any *any)
{
	if (any->family == AF_INET6)
		__builtin_memcpy(addr, any->ipv6, 16);
	else if (any->family == AF_INET || any->family == AF_UNSPEC)
		set_ipv4(addr, any->ipv4);
	else
		return false;
	return true;
}

static inline bool is_ipv4(const u8 *addr)
{
	const u32 *words = (const u32 *)addr;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static inline bool same_addr(const u8 *a, const u8 *b)
{
	const u64 *left = (const u64 *)a, *right = (const u64 *)b;

	return left[0] == right[0] && left[1] == right[1];
}

static inline bool no_addr(const u8 *addr)
{
	const u64 *halves = (const u64 *)addr;

	return halves[0] == 0 && halves[1] == 0;
}
