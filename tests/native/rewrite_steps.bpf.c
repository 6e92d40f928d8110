/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One step of what bpf/rewrite.bpf.c does, of a socket that only stands here. */

struct stage {
	struct udp_sock sk;
	struct socket socket;
	struct msghdr message;
	struct file file;
	struct inode inode;
	struct sockaddr_any address;
	struct flow flow;
};
BPF_ARRAY(stages, struct stage, 1);

enum step { BEGIN, END, SENDTO, SEND, CONNECT, PACKET, FORGET };

int rewrite_step(u64 *ctx)
{
	u32 zero = 0, step = ctx[0], ipv4 = ctx[4], port = ctx[5];
	struct stage *stage = stages.lookup(&zero);

	if (!stage)
		return 0;
	struct sock *sk = (struct sock *)&stage->sk;
	struct flow *flow = &stage->flow;
	sk->sk_socket = &stage->socket;
	stage->socket.file = &stage->file;
	stage->file.inode = &stage->inode;
	stage->inode.i_ino = ctx[1];
	sk->sk_protocol = ctx[3];
	sk->skc_family = AF_INET;
	sk->skc_daddr = ipv4;
	sk->skc_dport = bpf_htons(port);
	stage->message.msg_name = step == SENDTO ? &stage->address : 0;
	stage->address.family = AF_INET;
	stage->address.ipv4 = ipv4;
	stage->address.port = bpf_htons(port);
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->proto = ctx[3];
	set_ipv4(flow->daddr, ipv4);
	flow->dport = port;
	if (step == BEGIN)
		rewriting_begins(sk, &stage->address, ctx[2]);
	else if (step == END)
		rewriting_ends();
	else if (step == SENDTO || step == SEND)
		set_ends(flow, sk, &stage->message, kept_packet(sk), 1);
	else if (step == CONNECT)
		undo_rewriting_of_connection(flow, sk);
	else if (step == PACKET)
		passes_as_named(flow, sk, 0, false);
	else
		forget_rewriting_of_send(sk);
	return 0;
}
