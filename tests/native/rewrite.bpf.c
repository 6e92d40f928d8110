/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* As a service balancer does: another destination than the one that was asked for. */

int rewrite(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == bpf_htonl(0x7f0000c8))
		ctx->user_ip4 = bpf_htonl(0x7f000005);
	return 1;
}
