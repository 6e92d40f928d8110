/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls under way: the arguments of a call are kept at its entry for its return. A kretprobe is
 * missed when more than maxactive calls are under way. Such a call is reported without its result,
 * by the thread's next call or by the tracer, which looks through the calls now and then.
 */

enum called { UDP_SENDMSG, UDPV6_SENDMSG, TCP_V4_CONNECT, TCP_V6_CONNECT };

/* What is done with a call whose return is missed. */
enum call_match {
	CALL_PASSED_OVER = 0,
	CALL_MATCHED = 1,	/* it is reported without its result */
	CALL_UNTOLD = 2,	/* only counted: its result or its source decides, which are not known */
	CALL_TOLD = 3,		/* the tracer has taken it for one, but it may still go on */
};

struct call_key {
	u64 thread;
	u64 called;
};

struct call {
	struct event event;
	u64 matched;		/* enum call_match */
	struct sock *sk;
	void *argument;		/* the message or the address */
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

	if (missed && missed->matched && missed->matched != CALL_TOLD) {
		COUNT(unfinished);
		if (missed->matched == CALL_MATCHED)
			emit(parts, &missed->event);
	}
	FORGET(call->matched);
	call->event.time = bpf_ktime_get_boot_ns();
	call->event.error = ERROR_NOT_OBSERVED;
	call->event.segments = 1;
	if (calls.update(&key, call) && call->matched)
		COUNT(lost);
}

/* Is the current thread in this call for this socket, and was its entry seen? */
static inline bool call_is_kept(u64 called, struct sock *sk)
{
	struct call_key key = this_call(called);
	struct call *call = calls.lookup(&key);

	return call && call->sk == sk;
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

/* Says of a call that matches otherwise what the filter can say before its source and its result
 * are known. */
static inline enum call_match match_so_far(u32 parts, const struct flow *flow)
{
	bool no_source = parts & FILTER_SRC && no_addr(flow->saddr);
	bool no_port = parts & FILTER_SPORT && !flow->sport;

	if (parts & FILTER_EITHER_PORT && dport_passes(flow->dport))
		no_port = false;
	if (no_source || no_port || parts & FILTER_FAILED)
		return CALL_UNTOLD;
	if ((parts & FILTER_SRC && !src_passes(flow)) || !ports_pass(parts, flow))
		return CALL_PASSED_OVER;
	return CALL_MATCHED;
}

static inline void send_begins(struct pt_regs *ctx, u64 called)
{
	struct sock *sk = (struct sock *)PT_REGS_PARM1(ctx);
	struct msghdr *msg = (struct msghdr *)PT_REGS_PARM2(ctx);
	struct call call = { .sk = sk, .argument = msg };
	u32 parts = active_filter_parts();

	if (fill_datagram(&call.event, sk, msg, kept_packet(sk), 0, without_sport(parts) & ~FILTER_SRC)) {
		call.matched = match_so_far(parts, &call.event.flow);
		call.event.flow.cookie = known_cookie(sk);
	}
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
	if (datagram_sent(&event, call->sk, call->argument, PT_REGS_RC(ctx), parts) &&
	    call->matched != CALL_TOLD) {
		event.flow.cookie = known_cookie(call->sk);
		emit(parts, &event);
	}
	forget_rewriting_of_send(call->sk);
	calls.delete(&key);
}

static inline void connect_begins(struct pt_regs *ctx, u64 called)
{
	struct sock *sk = (struct sock *)PT_REGS_PARM1(ctx);
	void *address = (void *)PT_REGS_PARM2(ctx);
	struct call call = { .sk = sk, .argument = address };
	u32 parts = active_filter_parts();

	if (fill_attempt(&call.event.flow, sk, address, without_sport(parts) & ~FILTER_SRC))
		call.matched = match_so_far(parts, &call.event.flow);
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
	forget_rewriting(call->sk);
	calls.delete(&key);
}
