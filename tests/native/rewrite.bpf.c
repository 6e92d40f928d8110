/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* As a service balancer does: another destination than the one that was asked for, at the next port. */

static inline void next_port(struct bpf_sock_addr *ctx)
{
	ctx->user_port = bpf_htons(bpf_ntohs(ctx->user_port) + 1);
}

/* What goes to 127.0.0.200 goes to 127.0.0.5 instead; to 10.1.0.200, to 10.1.0.5. */
int rewrite_ipv4(struct bpf_sock_addr *ctx)
{
	u32 addr = bpf_ntohl(ctx->user_ip4);

	if (addr == 0x7f0000c8 || addr == 0x0a0100c8) {
		ctx->user_ip4 = bpf_htonl((addr & 0xffffff00) | 5);
		next_port(ctx);
	}
	return 1;
}

/* What goes to fd07::c8 goes to ::1; what a socket of IPv6 sends to 127.0.0.200, to 127.0.0.5. */
int rewrite_ipv6(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip6[2] == bpf_htonl(0xffff) && ctx->user_ip6[3] == bpf_htonl(0x7f0000c8)) {
		ctx->user_ip6[3] = bpf_htonl(0x7f000005);
		next_port(ctx);
	}
	if (ctx->user_ip6[0] == bpf_htonl(0xfd070000) && ctx->user_ip6[3] == bpf_htonl(0xc8)) {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[3] = bpf_htonl(1);
		next_port(ctx);
	}
	return 1;
}
