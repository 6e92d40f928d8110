/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asks the filter about a struct flow in the memory of the process that runs this. */

int filter_verdict(u64 *ctx)
{
	struct flow flow;
	u32 parts = active_filter_parts();

	bpf_probe_read_user(&flow, sizeof(flow), (void *)ctx[0]);
	return addresses_pass(parts, &flow) && process_passes(parts, &flow);
}
