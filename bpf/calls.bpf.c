/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls under way: the arguments of a call are kept at its entry for its return. A kretprobe is
 * missed when more than maxactive calls are under way. Such a call is reported without its result,
 * by the thread's next call or by the tracer, which looks through the calls now and then.
 */

enum called { UDP_SENDMSG, UDPV6_SENDMSG, TCP_V4_CONNECT, TCP_V6_CONNECT };

struct call_key {
	u64 thread;
	u64 called;
};

struct call {
	struct sock *sk;
	void *argument;		/* the message or the address */
	u64 matched;		/* report event if the return is missed */
	struct event event;
};
BPF_HASH(calls, struct call_key, struct call, 16384);

static inline struct call_key this_call(u64 called)
{
	struct call_key key = { bpf_get_current_pid_tgid(), called };

	return key;
}

static inline void keep_call(u64 called, struct call *call)
{
	struct call_key key = this_call(called);
	struct call *missed = calls.lookup(&key);
	u32 parts = active_filter_parts();

	if (missed && missed->matched) {
		COUNT(unfinished);
		emit(parts, &missed->event);
	}
	call->event.time = bpf_ktime_get_boot_ns();
	call->event.error = ERROR_NOT_OBSERVED;
	call->event.segments = 1;
	if (calls.update(&key, call) && call->matched)
		COUNT(lost);
}

static inline void forget_call(u64 called)
{
	struct call_key key = this_call(called);

	calls.delete(&key);
}

/* connect() has reached SYN_SENT: from there on inet_sock_set_state() reports the outcome. */
static inline void call_goes_on(void)
{
	for (u64 called = TCP_V4_CONNECT; called <= TCP_V6_CONNECT; called++) {
		struct call_key key = this_call(called);
		struct call *call = calls.lookup(&key);

		if (call)
			call->matched = 0;
	}
}

static inline void send_begins(struct pt_regs *ctx, u64 called)
{
	struct sock *sk = (struct sock *)PT_REGS_PARM1(ctx);
	struct msghdr *msg = (struct msghdr *)PT_REGS_PARM2(ctx);
	struct call call = { sk, msg };

	/* the source may become known later */
	call.matched = fill_datagram(&call.event, sk, msg,
				     active_filter_parts() & ~(FILTER_SRC | FILTER_SPORT));
	if (call.matched)
		call.event.flow.cookie = known_cookie(sk);
	keep_call(called, &call);
}

static inline void send_returns(struct pt_regs *ctx, u64 called)
{
	struct call_key key = this_call(called);
	struct call *call = calls.lookup(&key);
	u32 parts = active_filter_parts();
	struct event event = {};

	if (!call)
		return;		/* the function that it called has reported it */
	if (datagram_sent(&event, call->sk, call->argument, PT_REGS_RC(ctx), parts)) {
		event.flow.cookie = known_cookie(call->sk);
		emit(parts, &event);
	}
	calls.delete(&key);
}

static inline void connect_begins(struct pt_regs *ctx, u64 called)
{
	struct sock *sk = (struct sock *)PT_REGS_PARM1(ctx);
	void *address = (void *)PT_REGS_PARM2(ctx);
	struct call call = { sk, address };

	call.matched = fill_attempt(&call.event.flow, sk, address,
				    active_filter_parts() & ~(FILTER_SRC | FILTER_SPORT));
	call.event.flow.kind = EVENT_CONNECT;
	keep_call(called, &call);
}

static inline void connect_returns(struct pt_regs *ctx, u64 called)
{
	struct call_key key = this_call(called);
	struct call *call = calls.lookup(&key);

	if (!call)
		return;
	connect_returned(call->sk, call->argument, PT_REGS_RC(ctx), called == TCP_V6_CONNECT);
	calls.delete(&key);
}
